import { sql } from "kysely";
import type { Batch } from "../store.ts";
import type { Metric, Param, Tag } from "../types.ts";
import { checkRunName, invalid } from "../validation.ts";
import { toMetricRow } from "./rows.ts";
import type { LatestMetricRow, MetricRow } from "./schema.ts";
import type { WriteSession } from "./session.ts";

/** The tag that holds the name of a run; tag and name always agree. */
export const runNameTag = "mlflow.runName";

/** Writes a checked batch for a run that exists and is active. */
export async function writeBatch(
  session: WriteSession,
  runId: string,
  { metrics = [], params = [], tags = [] }: Batch,
): Promise<void> {
  if (metrics.length > 0) await writeMetrics(session, runId, metrics);
  if (params.length > 0) await writeParams(session, runId, params);
  if (tags.length > 0) await writeTags(session, runId, tags);
}

async function writeMetrics({ db, dialect }: WriteSession, runId: string, metrics: readonly Metric[]): Promise<void> {
  const rows = metrics.map((metric) => toMetricRow(runId, metric));
  await dialect.insertMetrics(db, rows);
  await db
    .insertInto("latest_metrics")
    .values(latestOf(rows))
    .onConflict((conflict) =>
      conflict.columns(["run_uuid", "key"]).doUpdateSet(() => ({
        value: newer("value"),
        timestamp: newer("timestamp"),
        step: newer("step"),
        is_nan: newer("is_nan"),
        min_value: extreme("min_value", "<"),
        max_value: extreme("max_value", ">"),
      })),
    )
    .execute();
  const ofModels = metrics.filter(({ modelId }) => modelId !== undefined);
  if (ofModels.length > 0)
    await db
      .insertInto("logged_model_metrics")
      .values(
        ofModels.map((metric) => {
          const { key, value, timestamp, step } = toMetricRow(runId, metric);
          const { modelId = "", datasetName = "", datasetDigest = "" } = metric;
          return {
            ...{ model_id: modelId, key, value, timestamp, step, run_id: runId },
            ...{ dataset_name: datasetName, dataset_digest: datasetDigest },
          };
        }),
      )
      .onConflict((conflict) => conflict.doNothing())
      .execute();
}

const isNewer = sql`(excluded.step, excluded.timestamp, excluded.value)
  > (latest_metrics.step, latest_metrics.timestamp, latest_metrics.value)`;

function newer(column: "value" | "timestamp" | "step" | "is_nan") {
  const name = sql.raw(column);
  return sql<number>`CASE WHEN ${isNewer} THEN excluded.${name} ELSE latest_metrics.${name} END`;
}

function extreme(column: "min_value" | "max_value", better: "<" | ">") {
  const name = sql.raw(column);
  const improves = sql`latest_metrics.${name} IS NULL OR excluded.${name} ${sql.raw(better)} latest_metrics.${name}`;
  return sql<
    number | null
  >`CASE WHEN excluded.${name} IS NOT NULL AND (${improves}) THEN excluded.${name} ELSE latest_metrics.${name} END`;
}

/** The newest point of each key of a batch, with the extremes of all its points. */
function latestOf(rows: readonly MetricRow[]): LatestMetricRow[] {
  const latest = new Map<string, LatestMetricRow>();
  for (const row of rows) {
    const value = row.is_nan === 1 ? null : row.value;
    const before = latest.get(row.key);
    if (before === undefined) {
      latest.set(row.key, { ...row, min_value: value, max_value: value });
      continue;
    }
    const order = row.step - before.step || row.timestamp - before.timestamp || row.value - before.value;
    latest.set(row.key, {
      ...(order > 0 ? row : before),
      min_value: value === null ? before.min_value : Math.min(before.min_value ?? value, value),
      max_value: value === null ? before.max_value : Math.max(before.max_value ?? value, value),
    });
  }
  return [...latest.values()];
}

async function writeParams({ db }: WriteSession, runId: string, params: readonly Param[]): Promise<void> {
  await db
    .insertInto("params")
    .values(params.map(({ key, value }) => ({ run_uuid: runId, key, value })))
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const keys = params.map(({ key }) => key);
  const stored = await db
    .selectFrom("params")
    .selectAll()
    .where("run_uuid", "=", runId)
    .where("key", "in", keys)
    .execute();
  const values = new Map(stored.map(({ key, value }) => [key, value]));
  for (const { key, value } of params) {
    const before = values.get(key);
    if (before !== value)
      throw invalid(
        `Changing param values is not allowed. Param with key='${key}' was already logged with value='${before}' ` +
          `for run ID='${runId}'. Attempted logging new value '${value}'`,
        "params are written once: start another run, or use a tag",
        { runId, key, before, value },
      );
  }
}

export async function writeTags({ db }: WriteSession, runId: string, tags: readonly Tag[]): Promise<void> {
  // The last value of a key counts; PostgreSQL refuses to write one row twice in one statement.
  const last = new Map(tags.map(({ key, value }) => [key, value]));
  await db
    .insertInto("tags")
    .values([...last].map(([key, value]) => ({ run_uuid: runId, key, value })))
    .onConflict((conflict) =>
      conflict.columns(["run_uuid", "key"]).doUpdateSet((eb) => ({ value: eb.ref("excluded.value") })),
    )
    .execute();
  const name = last.get(runNameTag);
  if (name === undefined) return;
  checkRunName(name);
  await db.updateTable("runs").set({ name }).where("run_uuid", "=", runId).execute();
}
