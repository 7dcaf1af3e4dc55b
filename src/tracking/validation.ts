import { PipelineError } from "../base/errors.ts";
import type { Batch } from "./store.ts";
import { type DatasetInput, trackingLimits as limits, type Metric, type Param, type Tag } from "./types.ts";

/** MLflow's alphabet of keys; a key is also a relative path in exported runs, hence the rule on "..". */
const keyPattern = /^[/\p{L}\p{N}_.\- :]+$/u;

export function invalid(
  message: string,
  remedy: string,
  details: Readonly<Record<string, unknown>> = {},
): PipelineError {
  return new PipelineError("TRACKING_INVALID", message, { remedy, details });
}

export function missing(message: string, details: Readonly<Record<string, unknown>> = {}): PipelineError {
  return new PipelineError("TRACKING_NOT_FOUND", message, { details });
}

export function checkBatch({ metrics = [], params = [], tags = [] }: Batch): void {
  checkCount("metrics", metrics.length, limits.metricsPerBatch);
  checkCount("params", params.length, limits.paramsPerBatch);
  checkCount("tags", tags.length, limits.tagsPerBatch);
  checkCount("metrics, params, and tags", metrics.length + params.length + tags.length, limits.entitiesPerBatch);
  metrics.forEach(checkMetric);
  params.forEach(checkParam);
  tags.forEach(checkTag);
  if (new Set(params.map(({ key }) => key)).size < params.length) {
    const keys = params.map(({ key }) => key);
    const twice = keys.filter((key, index) => keys.indexOf(key) < index);
    throw invalid(`Duplicate parameter keys have been submitted: ${JSON.stringify(twice)}`, "give each param once");
  }
}

function checkCount(what: string, count: number, limit: number): void {
  if (count > limit)
    throw invalid(
      `A batch logging request can contain at most ${limit} ${what}. Got ${count} ${what}`,
      "split it into several requests",
      { count, limit },
    );
}

function checkMetric({ key, value, timestamp, step }: Metric): void {
  checkKey("metric", key);
  if (typeof value !== "number")
    throw invalid(`metric ${key} has the value ${String(value)}`, "give a number", { key });
  if (!Number.isSafeInteger(timestamp) || timestamp < 0)
    throw invalid(`metric ${key} has the timestamp ${timestamp}`, "give whole milliseconds since 1970", { key });
  if (!Number.isSafeInteger(step)) throw invalid(`metric ${key} has the step ${step}`, "give a whole number", { key });
}

export function checkParam({ key, value }: Param): void {
  checkKey("param", key);
  checkLength(`value of param ${key}`, value, limits.paramValueLength);
}

export function checkTag({ key, value }: Tag): void {
  checkKey("tag", key);
  checkLength(`value of tag ${key}`, value, limits.tagValueLength);
}

export function checkExperimentTag({ key, value }: Tag): void {
  checkKey("tag", key);
  checkLength(`value of tag ${key}`, value, limits.experimentTagValueLength);
}

export function checkRegistryTag({ key, value }: Tag): void {
  checkKey("tag", key);
  checkLength(`value of tag ${key}`, value, limits.registryTagValueLength);
}

export function checkDatasetInput({ dataset, tags }: DatasetInput): void {
  if (dataset.name === "") throw invalid("a dataset without a name", "name it");
  checkLength("dataset name", dataset.name, limits.datasetNameLength);
  if (dataset.digest === "") throw invalid(`dataset ${dataset.name} has no digest`, "give one");
  checkLength("dataset digest", dataset.digest, limits.datasetDigestLength);
  checkLength("dataset source", dataset.source, limits.datasetSourceLength);
  checkLength("dataset schema", dataset.schema ?? "", limits.datasetSchemaLength);
  checkLength("dataset profile", dataset.profile ?? "", limits.datasetProfileLength);
  for (const { key, value } of tags) {
    checkLength("key of an input tag", key, limits.inputTagKeyLength);
    checkLength("value of an input tag", value, limits.inputTagValueLength);
  }
}

function checkKey(what: string, key: string): void {
  checkLength(`key of a ${what}`, key, limits.keyLength);
  const segments = key.split("/");
  if (!keyPattern.test(key) || segments.some((segment) => segment === "" || segment === "." || segment === ".."))
    throw invalid(
      `Invalid value ${JSON.stringify(key)} for the name of a ${what}`,
      "use letters, digits, _ - . : / and spaces, and no empty, . or .. part between slashes",
      { key },
    );
}

export function checkLength(what: string, text: string, limit: number): void {
  if (typeof text !== "string") throw invalid(`the ${what} is ${String(text)}`, "give text");
  if (text.includes("\u0000")) throw invalid(`the ${what} has a zero character`, "leave it out");
  if (text.length > limit)
    throw invalid(`'${what}' exceeds the maximum length of ${limit} characters`, `it has ${text.length}: shorten it`, {
      length: text.length,
      limit,
    });
}

export function checkExperimentName(name: string): void {
  checkLength("experiment name", name, limits.experimentNameLength);
  if (name.trim() === "") throw invalid(`Invalid experiment name: '${name}'`, "give the experiment a name");
}

export function checkRunName(name: string): void {
  checkLength("run name", name, limits.runNameLength);
  if (name.trim() === "") throw invalid("an empty run name", "give the run a name or leave it out");
}

export function checkTime(what: string, time: number): void {
  if (!Number.isSafeInteger(time) || time < 0) throw invalid(`${what} ${time}`, "give whole milliseconds since 1970");
}

export function checkModelName(name: string): void {
  checkLength("model name", name, 256);
  if (name.trim() === "") throw invalid("Missing value for required parameter 'name'", "name the model");
  if (/[/:]/.test(name)) throw invalid(`Invalid model name '${name}'`, "names cannot contain '/' or ':'");
  if (name === "." || name === "..") throw invalid(`Invalid model name '${name}'`, "choose another name");
}

export function checkAlias(alias: string): void {
  if (alias === "") throw invalid("Registered model alias name cannot be empty", "give a name");
  checkLength("alias", alias, limits.aliasLength);
  if (!/^[\p{L}\p{N}_-]+$/u.test(alias))
    throw invalid(`Invalid alias name: '${alias}'`, "use letters, digits, underscores and dashes");
  if (/^v\d+$/i.test(alias)) throw invalid(`Version alias name '${alias}' is reserved`, "choose another name");
  if (alias.toLowerCase() === "latest") throw invalid("'latest' alias name is reserved", "choose another name");
}
