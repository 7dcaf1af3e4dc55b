import { PipelineError } from "../base/errors.ts";
import type { Batch } from "./store.ts";
import { trackingLimits as limits, type Metric, type Param, type Tag } from "./types.ts";

/** MLflow's alphabet of keys; a key is also a relative path in exported runs, hence the rule on "..". */
const keyPattern = /^[/\p{L}\p{N}_.\- :]+$/u;

export function invalid(
  message: string,
  remedy: string,
  details: Readonly<Record<string, unknown>> = {},
): PipelineError {
  return new PipelineError("TRACKING_INVALID", message, { remedy, details });
}

export function checkBatch({ metrics = [], params = [], tags = [] }: Batch): void {
  checkCount("metrics", metrics.length, limits.metricsPerBatch);
  checkCount("params", params.length, limits.paramsPerBatch);
  checkCount("tags", tags.length, limits.tagsPerBatch);
  checkCount("metrics, params and tags", metrics.length + params.length + tags.length, limits.entitiesPerBatch);
  metrics.forEach(checkMetric);
  params.forEach(checkParam);
  tags.forEach(checkTag);
  const seen = new Map<string, string>();
  for (const { key, value } of params) {
    const before = seen.get(key);
    if (before !== undefined && before !== value)
      throw invalid(`param ${key} is given twice with different values`, "give it once", { key, before, value });
    seen.set(key, value);
  }
}

function checkCount(what: string, count: number, limit: number): void {
  if (count > limit)
    throw invalid(`a batch of ${count} ${what}`, `split it: at most ${limit} go into one batch`, { count, limit });
}

function checkMetric({ key, value, timestamp, step }: Metric): void {
  checkKey("metric", key);
  if (typeof value !== "number")
    throw invalid(`metric ${key} has the value ${String(value)}`, "give a number", { key });
  if (!Number.isSafeInteger(timestamp) || timestamp < 0)
    throw invalid(`metric ${key} has the timestamp ${timestamp}`, "give whole milliseconds since 1970", { key });
  if (!Number.isSafeInteger(step)) throw invalid(`metric ${key} has the step ${step}`, "give a whole number", { key });
}

function checkParam({ key, value }: Param): void {
  checkKey("param", key);
  checkLength(`value of param ${key}`, value, limits.paramValueLength);
}

export function checkTag({ key, value }: Tag): void {
  checkKey("tag", key);
  checkLength(`value of tag ${key}`, value, limits.tagValueLength);
}

function checkKey(what: string, key: string): void {
  checkLength(`key of a ${what}`, key, limits.keyLength);
  const segments = key.split("/");
  if (!keyPattern.test(key) || segments.some((segment) => segment === "" || segment === "." || segment === ".."))
    throw invalid(
      `${what} key ${JSON.stringify(key)}`,
      "use letters, digits, _ - . : / and spaces, and no empty, . or .. part between slashes",
      { key },
    );
}

export function checkLength(what: string, text: string, limit: number): void {
  if (typeof text !== "string") throw invalid(`the ${what} is ${String(text)}`, "give text");
  if (text.length > limit)
    throw invalid(`the ${what} has ${text.length} characters`, `keep it to ${limit}`, { length: text.length, limit });
}

export function checkExperimentName(name: string): void {
  checkLength("experiment name", name, limits.experimentNameLength);
  if (name.trim() === "") throw invalid("an empty experiment name", "give the experiment a name");
}

export function checkRunName(name: string): void {
  checkLength("run name", name, limits.runNameLength);
  if (name.trim() === "") throw invalid("an empty run name", "give the run a name or leave it out");
}

export function checkTime(what: string, time: number): void {
  if (!Number.isSafeInteger(time) || time < 0) throw invalid(`${what} ${time}`, "give whole milliseconds since 1970");
}
