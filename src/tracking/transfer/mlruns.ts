import { createReadStream } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { parse, stringify } from "yaml";
import { z } from "zod";
import { isMissing } from "../../base/durable.ts";
import { PipelineError } from "../../base/errors.ts";
import { type ModelVersion, modelStages } from "../registry.ts";
import {
  type DatasetInput,
  type Experiment,
  type Metric,
  type Run,
  type RunState,
  runStatuses,
  type Tag,
} from "../types.ts";
import type { TransferFile, TransferModel, TransferRun, TransferSink, TransferSource } from "./transfer.ts";

/** The folder of text files that MLflow wrote before it had a database. */

const stage = z.enum(["active", "deleted"]).default("active");
const time = z.number().nullish();

const experimentSchema = z.object({
  experiment_id: z.coerce.string(),
  name: z.coerce.string(),
  artifact_location: z.string().default(""),
  lifecycle_stage: stage,
  creation_time: time,
  last_update_time: time,
});

const runSchema = z.object({
  run_id: z.coerce.string(),
  run_name: z.coerce.string().nullish(),
  experiment_id: z.coerce.string(),
  user_id: z.coerce.string().nullish(),
  status: z.union([z.number().int().min(1).max(5), z.enum(runStatuses)]),
  start_time: time,
  end_time: time,
  artifact_uri: z.string().default(""),
  lifecycle_stage: stage,
});

const datasetSchema = z.object({
  name: z.coerce.string(),
  digest: z.coerce.string(),
  source_type: z.string().default(""),
  source: z.string().default(""),
  schema: z.string().nullish(),
  profile: z.string().nullish(),
});

const inputSchema = z.object({
  source_id: z.coerce.string(),
  tags: z.record(z.string(), z.coerce.string()).default({}),
});

const modelSchema = z.object({
  name: z.coerce.string(),
  description: z.string().nullish(),
  creation_timestamp: time,
  last_updated_timestamp: time,
});

const versionSchema = modelSchema.extend({
  version: z.coerce.string(),
  current_stage: z.enum(modelStages).default("None"),
  source: z.string().default(""),
  run_id: z.string().nullish(),
  run_link: z.string().nullish(),
});

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
    inputs: { datasets: await readDatasets(directory), modelIds: [] },
    outputs: [],
  };
  return { run, history, files: () => filesBelow(join(directory, "artifacts"), "") };
}

/** Lines of "timestamp value step". */
async function readHistory(file: string, key: string): Promise<Metric[]> {
  const points: Metric[] = [];
  for (const line of (await readFile(file, "utf8")).split("\n")) {
    const [timestamp, value, step = "0"] = line.trim().split(/\s+/);
    if (timestamp === undefined || value === undefined) continue;
    const number = /^-?inf/i.test(value) ? (value.startsWith("-") ? -Infinity : Infinity) : Number(value);
    points.push({ key, value: number, timestamp: Number(timestamp), step: Number(step) });
  }
  return points;
}

async function readDatasets(directory: string): Promise<DatasetInput[]> {
  const found: DatasetInput[] = [];
  for (const name of await namesIn(join(directory, "inputs"))) {
    const input = await readMeta(join(directory, "inputs", name), inputSchema);
    if (input === undefined) continue;
    const dataset = await readMeta(join(dirname(directory), "datasets", input.source_id), datasetSchema);
    if (dataset === undefined) continue;
    const { name: title, digest, source_type, source, schema, profile } = dataset;
    found.push({
      dataset: {
        ...{ name: title, digest, sourceType: source_type, source },
        ...(schema == null ? {} : { schema }),
        ...(profile == null ? {} : { profile }),
      },
      tags: Object.entries(input.tags).map(([key, value]) => ({ key, value })),
    });
  }
  return found;
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
      modelId: "",
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

/** Writes a folder that MLflow's file store reads (MLFLOW_ALLOW_FILE_STORE=true where it is deprecated). */
export function mlrunsSink(folder: string): TransferSink {
  const runFolders = new Map<string, string>();
  return {
    experiment: async (experiment) => {
      const { name, experimentId, lifecycleStage, creationTime, lastUpdateTime, tags } = experiment;
      const id = /^\d+$/.test(experimentId) ? experimentId : String(1 + (await namesIn(folder)).length);
      const directory = join(folder, ...(lifecycleStage === "deleted" ? [".trash"] : []), id);
      await writeMeta(directory, {
        artifact_location: pathToFileURL(directory).href,
        creation_time: creationTime,
        experiment_id: id,
        last_update_time: lastUpdateTime,
        lifecycle_stage: lifecycleStage,
        name,
      });
      await writeEntries(join(directory, "tags"), tags);
      return directory;
    },
    run: async (experiment, { run, history, files }) => {
      const { info, data, inputs } = run;
      const directory = join(experiment, info.runId);
      runFolders.set(info.runId, directory);
      if ((await readMeta(directory, runSchema)) !== undefined) return { runId: info.runId, state: "present" };
      await writeEntries(join(directory, "params"), data.params);
      await writeEntries(join(directory, "tags"), data.tags);
      for (const { key } of data.metrics) {
        const lines = (await history(key)).map(
          ({ timestamp, value, step }) => `${timestamp} ${pythonNumber(value)} ${step}\n`,
        );
        await writeText(join(directory, "metrics", key), lines.join(""));
      }
      for (const { dataset, tags } of inputs.datasets) {
        const id = Buffer.from(`${dataset.name} ${dataset.digest}`).toString("hex").slice(0, 60);
        await writeMeta(join(experiment, "datasets", id), {
          digest: dataset.digest,
          name: dataset.name,
          profile: dataset.profile ?? null,
          schema: dataset.schema ?? null,
          source: dataset.source,
          source_type: dataset.sourceType,
        });
        await writeMeta(join(directory, "inputs", id), {
          destination_id: info.runId,
          destination_type: 1,
          source_id: id,
          source_type: 0,
          tags: Object.fromEntries(tags.map(({ key, value }) => [key, value])),
        });
      }
      const artifacts = join(directory, "artifacts");
      await mkdir(artifacts, { recursive: true });
      for await (const file of files()) {
        const target = join(artifacts, file.path);
        await mkdir(dirname(target), { recursive: true });
        await writeFile(target, await file.open());
      }
      // Last: a folder without it is no run yet.
      await writeMeta(directory, {
        artifact_uri: pathToFileURL(artifacts).href,
        end_time: info.endTime ?? null,
        entry_point_name: "",
        experiment_id: experiment.split(/[/\\]/).at(-1),
        lifecycle_stage: info.lifecycleStage,
        run_id: info.runId,
        run_name: info.runName,
        run_uuid: info.runId,
        source_name: "",
        source_type: 4,
        source_version: "",
        start_time: info.startTime,
        status: runStatuses.indexOf(info.status) + 1,
        tags: [],
        user_id: info.userId,
      });
      return { runId: info.runId, state: "copied" };
    },
    model: async ({ model, versions }) => {
      const directory = join(folder, "models", model.name);
      if ((await readMeta(directory, modelSchema)) !== undefined) return "present";
      for (const version of versions) {
        const own = runFolders.get(version.runId);
        const below = /\/artifacts\/(.+)$/.exec(version.source)?.[1] ?? "";
        const source = own === undefined ? version.source : pathToFileURL(join(own, "artifacts", below)).href;
        const target = join(directory, `version-${version.version}`);
        await writeMeta(target, {
          creation_timestamp: version.creationTime,
          current_stage: version.stage,
          description: version.description,
          last_updated_timestamp: version.lastUpdateTime,
          name: model.name,
          run_id: version.runId,
          run_link: version.runLink,
          source,
          status: "READY",
          status_message: null,
          storage_location: source,
          user_id: null,
          version: Number(version.version),
        });
        await writeEntries(join(target, "tags"), version.tags);
      }
      const aliases = model.aliases.map(({ alias, version }) => ({ key: alias, value: version }));
      await writeEntries(join(directory, "aliases"), aliases);
      await writeEntries(join(directory, "tags"), model.tags);
      await writeMeta(directory, {
        creation_timestamp: model.creationTime,
        description: model.description,
        last_updated_timestamp: model.lastUpdateTime,
        name: model.name,
      });
      return "copied";
    },
  };
}

function pythonNumber(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

async function readMeta<S extends z.ZodType>(directory: string, schema: S): Promise<z.output<S> | undefined> {
  const text = await readFile(join(directory, "meta.yaml"), "utf8").catch((error: unknown) => {
    if (isMissing(error) || (error as NodeJS.ErrnoException).code === "ENOTDIR") return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const parsed = schema.safeParse(parse(text));
  if (parsed.success) return parsed.data;
  throw new PipelineError("DATA_CORRUPT", `${join(directory, "meta.yaml")} is not as MLflow writes it`, {
    cause: parsed.error,
    remedy: "move the folder away and start again",
  });
}

async function writeMeta(directory: string, meta: Readonly<Record<string, unknown>>): Promise<void> {
  await writeText(join(directory, "meta.yaml"), stringify(meta, { lineWidth: 0 }));
}

/** Files whose names are keys (with "/" as folders) and whose contents are values. */
async function readEntries(directory: string): Promise<Tag[]> {
  const entries: Tag[] = [];
  for (const key of await leavesBelow(directory))
    entries.push({ key, value: await readFile(join(directory, key), "utf8") });
  return entries;
}

async function writeEntries(directory: string, entries: readonly Tag[]): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (const { key, value } of entries) await writeText(join(directory, key), value);
}

async function writeText(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
}

async function namesIn(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((error: unknown) => {
    if (isMissing(error)) return [];
    throw error;
  });
  return entries
    .filter((entry) => entry.isDirectory() && entry.name !== ".trash")
    .map(({ name }) => name)
    .sort();
}

async function leavesBelow(directory: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { path } of filesBelow(directory, "")) keys.push(path);
  return keys.sort();
}

async function* filesBelow(root: string, below: string): AsyncGenerator<TransferFile> {
  const entries = await readdir(join(root, below), { withFileTypes: true }).catch((error: unknown) => {
    if (isMissing(error)) return [];
    throw error;
  });
  for (const entry of entries) {
    const path = below === "" ? entry.name : `${below}/${entry.name}`;
    if (entry.isDirectory()) yield* filesBelow(root, path);
    else if (entry.isFile()) yield { path, open: async () => createReadStream(join(root, path)) };
  }
}
