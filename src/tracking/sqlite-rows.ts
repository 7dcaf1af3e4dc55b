import type { Kysely, Selectable } from "kysely";
import type { MetricRow, TrackingDatabase } from "./sqlite-schema.ts";
import type { Experiment, Metric, Param, Run, RunInfo, RunState, RunStatus, Tag } from "./types.ts";

type RunRow = Selectable<TrackingDatabase["runs"]>;

/** Largest number of bound values in one IN list. */
const chunkSize = 500;

export function toMetricRow(runId: string, { key, value, timestamp, step }: Metric): MetricRow {
  const isNan = Number.isNaN(value);
  const finite = isNan ? 0 : Math.min(Math.max(value, -Number.MAX_VALUE), Number.MAX_VALUE);
  return { run_uuid: runId, key, value: finite, timestamp, step, is_nan: isNan ? 1 : 0 };
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

/** The runs of these rows, in their order, with latest metrics, params and tags sorted by key. */
export async function loadRuns(db: Kysely<TrackingDatabase>, rows: readonly RunRow[]): Promise<Run[]> {
  const data = new Map(rows.map(({ run_uuid }) => [run_uuid, emptyData()]));
  for (let start = 0; start < rows.length; start += chunkSize) {
    const ids = rows.slice(start, start + chunkSize).map(({ run_uuid }) => run_uuid);
    const metrics = await db
      .selectFrom("latest_metrics")
      .selectAll()
      .where("run_uuid", "in", ids)
      .orderBy("key")
      .execute();
    for (const row of metrics) data.get(row.run_uuid)?.metrics.push(toMetric(row));
    const params = await db.selectFrom("params").selectAll().where("run_uuid", "in", ids).orderBy("key").execute();
    for (const { run_uuid, key, value } of params) data.get(run_uuid)?.params.push({ key, value });
    const tags = await db.selectFrom("tags").selectAll().where("run_uuid", "in", ids).orderBy("key").execute();
    for (const { run_uuid, key, value } of tags) data.get(run_uuid)?.tags.push({ key, value });
  }
  return rows.map((row) => ({ info: toRunInfo(row), data: data.get(row.run_uuid) ?? emptyData() }));
}

function emptyData(): { metrics: Metric[]; params: Param[]; tags: Tag[] } {
  return { metrics: [], params: [], tags: [] };
}

/** The experiments of these rows, in their order. */
export async function loadExperiments(
  db: Kysely<TrackingDatabase>,
  rows: readonly Selectable<TrackingDatabase["experiments"]>[],
): Promise<Experiment[]> {
  const tags = new Map<number, Tag[]>(rows.map(({ experiment_id }) => [experiment_id, []]));
  for (let start = 0; start < rows.length; start += chunkSize) {
    const ids = rows.slice(start, start + chunkSize).map(({ experiment_id }) => experiment_id);
    const found = await db
      .selectFrom("experiment_tags")
      .selectAll()
      .where("experiment_id", "in", ids)
      .orderBy("key")
      .execute();
    for (const { experiment_id, key, value } of found) tags.get(experiment_id)?.push({ key, value });
  }
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
