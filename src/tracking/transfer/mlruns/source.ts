import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { PipelineError } from "../../../base/errors.ts";
import type { ModelVersion } from "../../registry.ts";
import {
  type DatasetInput,
  type Experiment,
  type LoggedModel,
  loggedModelStatuses,
  type Metric,
  type ModelOutput,
  type Run,
  type RunState,
  runStatuses,
} from "../../types.ts";
import type { TransferLoggedModel, TransferModel, TransferRun, TransferSource } from "../transfer.ts";
import {
  datasetSchema,
  experimentSchema,
  inputSchema,
  loggedModelSchema,
  modelSchema,
  outputSchema,
  runSchema,
  versionSchema,
} from "./meta.ts";
import { filesBelow, leavesBelow, namesIn, readEntries, readMeta } from "./text-files.ts";

/** @throws DATA_FOREIGN when the folder holds no runs of MLflow */
export function mlrunsSource(folder: string): TransferSource {
  return {
    experiments: async () => {
      const found: Experiment[] = [];
      for (const parent of [folder, join(folder, ".trash")]) {
        for (const name of await namesIn(parent)) {
          const meta = await readMeta(join(parent, name), experimentSchema);
          if (meta === undefined || name === "models") continue;
          found.push({
            experimentId: join(parent, name),
            name: meta.name,
            artifactLocation: meta.artifact_location,
            lifecycleStage: meta.lifecycle_stage,
            creationTime: meta.creation_time ?? 0,
            lastUpdateTime: meta.last_update_time ?? 0,
            tags: await readEntries(join(parent, name, "tags")),
          });
        }
      }
      if (found.length === 0)
        throw new PipelineError("DATA_FOREIGN", `${folder} holds no experiments of MLflow`, {
          remedy: "name the mlruns folder itself",
          details: { folder },
        });
      return found;
    },
    runs: async function* ({ experimentId: directory }) {
      const runs: { readonly directory: string; readonly start: number }[] = [];
      for (const name of await namesIn(directory)) {
        const meta = await readMeta(join(directory, name), runSchema);
        if (meta !== undefined) runs.push({ directory: join(directory, name), start: meta.start_time ?? 0 });
      }
      for (const run of runs.sort((a, b) => a.start - b.start)) yield await readRun(run.directory);
    },
    loggedModels: async function* ({ experimentId: directory }) {
      const found: TransferLoggedModel[] = [];
      for (const name of await namesIn(join(directory, "models"))) {
        const model = await readLoggedModel(join(directory, "models", name));
        if (model !== undefined) found.push(model);
      }
      yield* found.sort((a, b) => a.model.creationTime - b.model.creationTime);
    },
    models: async () => {
      const models: TransferModel[] = [];
      for (const name of await namesIn(join(folder, "models"))) {
        const model = await readModel(join(folder, "models", name));
        if (model !== undefined) models.push(model);
      }
      return models;
    },
  };
}

async function readRun(directory: string): Promise<TransferRun> {
  const meta = await readMeta(directory, runSchema);
  if (meta === undefined) throw new PipelineError("DATA_CORRUPT", `${directory} has no meta.yaml of a run`);
  const status = typeof meta.status === "number" ? runStatuses[meta.status - 1]! : meta.status;
  const state: RunState =
    status === "RUNNING" || status === "SCHEDULED"
      ? { status, endTime: undefined }
      : { status, endTime: meta.end_time ?? meta.start_time ?? 0 };
  const history = (key: string): Promise<Metric[]> => readHistory(join(directory, "metrics", key), key);
  const metrics: Metric[] = [];
  for (const key of await leavesBelow(join(directory, "metrics"))) {
    const points = await history(key);
    const [first, ...rest] = points;
    if (first === undefined) continue;
    const newer = (a: Metric, b: Metric) => b.step - a.step || b.timestamp - a.timestamp || b.value - a.value;
    metrics.push(rest.reduce((latest, point) => (newer(latest, point) > 0 ? point : latest), first));
  }
  const tags = await readEntries(join(directory, "tags"));
  const run: Run = {
    info: {
      ...state,
      runId: meta.run_id,
      runName: meta.run_name || tags.find(({ key }) => key === "mlflow.runName")?.value || meta.run_id.slice(0, 8),
      experimentId: meta.experiment_id,
      userId: meta.user_id ?? "",
      startTime: meta.start_time ?? 0,
      artifactUri: meta.artifact_uri,
      lifecycleStage: meta.lifecycle_stage,
    },
    data: {
      metrics,
      params: await readEntries(join(directory, "params")),
      tags: tags.filter(({ key }) => key !== "mlflow.runName"),
    },
    inputs: await readInputs(directory),
    outputs: await readOutputs(directory),
  };
  return { run, history, files: () => filesBelow(join(directory, "artifacts"), "") };
}

/** Lines of "timestamp value step". */
async function readHistory(file: string, key: string): Promise<Metric[]> {
  const points: Metric[] = [];
  for (const line of (await readFile(file, "utf8")).split("\n")) {
    const [timestamp, value, step = "0"] = line.trim().split(/\s+/);
    if (timestamp === undefined || value === undefined) continue;
    points.push({ key, value: fromPythonNumber(value), timestamp: Number(timestamp), step: Number(step) });
  }
  return points;
}

function fromPythonNumber(text: string): number {
  if (!/^-?inf/i.test(text)) return Number(text);
  return text.startsWith("-") ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}

async function readInputs(directory: string): Promise<Run["inputs"]> {
  const datasets: DatasetInput[] = [];
  const modelIds: string[] = [];
  for (const name of await namesIn(join(directory, "inputs"))) {
    const input = await readMeta(join(directory, "inputs", name), inputSchema);
    if (input?.source_type === "MODEL") modelIds.push(input.source_id);
    if (input === undefined || input.source_type === "MODEL") continue;
    const dataset = await readMeta(join(dirname(directory), "datasets", input.source_id), datasetSchema);
    if (dataset === undefined) continue;
    const { name: title, digest, source_type, source, schema, profile } = dataset;
    datasets.push({
      dataset: {
        ...{ name: title, digest, sourceType: source_type, source },
        ...(schema == null ? {} : { schema }),
        ...(profile == null ? {} : { profile }),
      },
      tags: Object.entries(input.tags).map(([key, value]) => ({ key, value })),
    });
  }
  return { datasets, modelIds };
}

async function readOutputs(directory: string): Promise<Run["outputs"]> {
  const outputs: ModelOutput[] = [];
  for (const name of await namesIn(join(directory, "outputs"))) {
    const output = await readMeta(join(directory, "outputs", name), outputSchema);
    if (output !== undefined) outputs.push({ modelId: output.source_id, step: output.step });
  }
  return outputs;
}

async function readLoggedModel(directory: string): Promise<TransferLoggedModel | undefined> {
  const meta = await readMeta(directory, loggedModelSchema);
  if (meta === undefined || meta.lifecycle_stage === "deleted") return undefined;
  const metrics: Metric[] = [];
  for (const key of await leavesBelow(join(directory, "metrics")))
    metrics.push(...(await readModelHistory(join(directory, "metrics", key), key)));
  const model: LoggedModel = {
    modelId: meta.model_id,
    experimentId: basename(dirname(dirname(directory))),
    name: meta.name,
    creationTime: meta.creation_timestamp ?? 0,
    lastUpdateTime: meta.last_updated_timestamp ?? 0,
    artifactUri: pathToFileURL(join(directory, "artifacts")).href,
    status: loggedModelStatuses[meta.status - 1]!,
    modelType: meta.model_type ?? "",
    sourceRunId: meta.source_run_id ?? "",
    lifecycleStage: meta.lifecycle_stage,
    params: await readEntries(join(directory, "params")),
    tags: await readEntries(join(directory, "tags")),
    metrics,
  };
  return { model, files: () => filesBelow(join(directory, "artifacts"), "") };
}

/** Lines of "timestamp value step run", with the name and digest of a data set or without. */
async function readModelHistory(file: string, key: string): Promise<Metric[]> {
  const points: Metric[] = [];
  for (const line of (await readFile(file, "utf8")).split("\n")) {
    const [timestamp, value, step, runId, datasetName, datasetDigest] = line.trim().split(" ");
    if (timestamp === undefined || value === undefined || runId === undefined) continue;
    const dataset = datasetName === undefined || datasetDigest === undefined ? {} : { datasetName, datasetDigest };
    const at = { timestamp: Number(timestamp), step: Number(step) };
    points.push({ key, value: fromPythonNumber(value), ...at, runId, ...dataset });
  }
  return points;
}

async function readModel(directory: string): Promise<TransferModel | undefined> {
  const meta = await readMeta(directory, modelSchema);
  if (meta === undefined) return undefined;
  const versions: ModelVersion[] = [];
  for (const name of (await namesIn(directory)).filter((entry) => entry.startsWith("version-"))) {
    const version = await readMeta(join(directory, name), versionSchema);
    if (version === undefined) continue;
    versions.push({
      name: meta.name,
      version: version.version,
      creationTime: version.creation_timestamp ?? 0,
      lastUpdateTime: version.last_updated_timestamp ?? 0,
      description: version.description ?? "",
      stage: version.current_stage,
      source: version.source,
      runId: version.run_id ?? "",
      runLink: version.run_link ?? "",
      modelId: version.model_id ?? "",
      tags: await readEntries(join(directory, name, "tags")),
      aliases: [],
    });
  }
  const aliases = (await readEntries(join(directory, "aliases"))).map(({ key, value }) => ({
    alias: key,
    version: value.trim(),
  }));
  const model = {
    name: meta.name,
    creationTime: meta.creation_timestamp ?? 0,
    lastUpdateTime: meta.last_updated_timestamp ?? 0,
    description: meta.description ?? "",
    tags: await readEntries(join(directory, "tags")),
    aliases,
    latestVersions: [],
  };
  return { model, versions: versions.sort((a, b) => Number(a.version) - Number(b.version)) };
}
