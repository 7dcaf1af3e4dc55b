import type { Kysely, Selectable } from "kysely";
import type {
  DatasetInput,
  Experiment,
  Metric,
  ModelOutput,
  Param,
  Run,
  RunInfo,
  RunState,
  RunStatus,
  Tag,
} from "../types.ts";
import type { MetricRow, TrackingDatabase } from "./schema.ts";

type RunRow = Selectable<TrackingDatabase["runs"]>;
type Db = Kysely<TrackingDatabase>;

/** Largest number of bound values in one IN list. */
const chunkSize = 500;

export function toMetricRow(runId: string, { key, value, timestamp, step }: Metric): MetricRow {
  const isNan = Number.isNaN(value);
  return { run_uuid: runId, key, value: isNan ? 0 : finite(value), timestamp, step, is_nan: isNan ? 1 : 0 };
}

function finite(value: number): number {
  return Math.min(Math.max(value, -Number.MAX_VALUE), Number.MAX_VALUE);
}

export function toMetric(row: Omit<MetricRow, "run_uuid">): Metric {
  return { key: row.key, value: row.is_nan ? Number.NaN : row.value, timestamp: row.timestamp, step: row.step };
}

export function toRunInfo(row: RunRow): RunInfo {
  return {
    runId: row.run_uuid,
    runName: row.name,
    experimentId: String(row.experiment_id),
    userId: row.user_id,
    startTime: row.start_time,
    artifactUri: row.artifact_uri,
    lifecycleStage: row.lifecycle_stage,
    ...toRunState(row.status as RunStatus, row.end_time),
  };
}

function toRunState(status: RunStatus, endTime: number | null): RunState {
  // The table's check keeps status and end in step.
  return status === "RUNNING" || status === "SCHEDULED"
    ? { status, endTime: undefined }
    : { status, endTime: endTime ?? 0 };
}

/** Calls `load` with pieces of the list that fit into one statement. */
export async function inChunks<T, R>(
  items: readonly T[],
  load: (chunk: readonly T[]) => Promise<readonly R[]>,
): Promise<R[]> {
  const found: R[] = [];
  for (let start = 0; start < items.length; start += chunkSize)
    for (const row of await load(items.slice(start, start + chunkSize))) found.push(row);
  return found;
}

interface RunParts {
  readonly metrics: Metric[];
  readonly params: Param[];
  readonly tags: Tag[];
  readonly datasets: DatasetInput[];
  readonly modelIds: string[];
  readonly outputs: ModelOutput[];
}

/** The runs of these rows, in their order, with latest metrics, params and tags sorted by key. */
export async function loadRuns(db: Db, rows: readonly RunRow[]): Promise<Run[]> {
  const parts = new Map<string, RunParts>(
    rows.map(({ run_uuid }) => [
      run_uuid,
      { metrics: [], params: [], tags: [], datasets: [], modelIds: [], outputs: [] },
    ]),
  );
  const ids = [...parts.keys()];
  const select = <T extends "latest_metrics" | "params" | "tags">(table: T, chunk: readonly string[]) =>
    db
      .selectFrom(table as "params")
      .selectAll()
      .where("run_uuid", "in", chunk)
      .orderBy("key")
      .execute();
  for (const row of await inChunks(ids, (chunk) => select("latest_metrics", chunk) as unknown as Promise<MetricRow[]>))
    parts.get(row.run_uuid)?.metrics.push(toMetric(row));
  for (const { run_uuid, key, value } of await inChunks(ids, (chunk) => select("params", chunk)))
    parts.get(run_uuid)?.params.push({ key, value });
  for (const { run_uuid, key, value } of await inChunks(ids, (chunk) => select("tags", chunk)))
    parts.get(run_uuid)?.tags.push({ key, value });
  for (const { runId, input } of await inChunks(ids, (chunk) => loadDatasetInputs(db, chunk)))
    parts.get(runId)?.datasets.push(input);
  const inputs = (chunk: readonly string[]) =>
    db.selectFrom("model_inputs").selectAll().where("run_uuid", "in", chunk).orderBy("model_id").execute();
  for (const { run_uuid, model_id } of await inChunks(ids, inputs)) parts.get(run_uuid)?.modelIds.push(model_id);
  const outputs = (chunk: readonly string[]) =>
    db.selectFrom("model_outputs").selectAll().where("run_uuid", "in", chunk).orderBy("step").execute();
  for (const { run_uuid, model_id, step } of await inChunks(ids, outputs))
    parts.get(run_uuid)?.outputs.push({ modelId: model_id, step });
  return rows.map((row) => {
    const { metrics, params, tags, datasets, modelIds, outputs: models } = parts.get(row.run_uuid)!;
    return { info: toRunInfo(row), data: { metrics, params, tags }, inputs: { datasets, modelIds }, outputs: models };
  });
}

async function loadDatasetInputs(db: Db, runIds: readonly string[]) {
  const rows = await db
    .selectFrom("dataset_inputs")
    .innerJoin("datasets", "datasets.dataset_uuid", "dataset_inputs.dataset_uuid")
    .selectAll("datasets")
    .select("dataset_inputs.run_uuid")
    .where("dataset_inputs.run_uuid", "in", runIds)
    .orderBy("dataset_inputs.position")
    .execute();
  if (rows.length === 0) return [];
  const tags = await db.selectFrom("input_tags").selectAll().where("run_uuid", "in", runIds).orderBy("name").execute();
  return rows.map((row) => ({
    runId: row.run_uuid,
    input: {
      dataset: {
        name: row.name,
        digest: row.digest,
        sourceType: row.dataset_source_type,
        source: row.dataset_source,
        ...(row.dataset_schema === null ? {} : { schema: row.dataset_schema }),
        ...(row.dataset_profile === null ? {} : { profile: row.dataset_profile }),
      },
      tags: tags
        .filter((tag) => tag.run_uuid === row.run_uuid && tag.dataset_uuid === row.dataset_uuid)
        .map(({ name, value }) => ({ key: name, value })),
    } satisfies DatasetInput,
  }));
}

/** The experiments of these rows, in their order. */
export async function loadExperiments(
  db: Db,
  rows: readonly Selectable<TrackingDatabase["experiments"]>[],
): Promise<Experiment[]> {
  const tags = new Map<number, Tag[]>(rows.map(({ experiment_id }) => [experiment_id, []]));
  const select = (chunk: readonly number[]) =>
    db.selectFrom("experiment_tags").selectAll().where("experiment_id", "in", chunk).orderBy("key").execute();
  for (const { experiment_id, key, value } of await inChunks([...tags.keys()], select))
    tags.get(experiment_id)?.push({ key, value });
  return rows.map((row) => ({
    experimentId: String(row.experiment_id),
    name: row.name,
    artifactLocation: row.artifact_location,
    lifecycleStage: row.lifecycle_stage,
    creationTime: row.creation_time,
    lastUpdateTime: row.last_update_time,
    tags: tags.get(row.experiment_id) ?? [],
  }));
}
