import { sql, type Transaction } from "kysely";
import { toMetricRow } from "./sqlite-rows.ts";
import type { TrackingDatabase } from "./sqlite-schema.ts";
import type { Batch } from "./store.ts";
import type { Metric, Param, Tag } from "./types.ts";
import { checkRunName, invalid } from "./validation.ts";

type Trx = Transaction<TrackingDatabase>;

/** The tag that holds the name of a run; tag and name always agree. */
export const runNameTag = "mlflow.runName";

/** Writes a checked batch for a run that exists and is active. */
export async function writeBatch(
  trx: Trx,
  runId: string,
  { metrics = [], params = [], tags = [] }: Batch,
): Promise<void> {
  if (metrics.length > 0) await writeMetrics(trx, runId, metrics);
  if (params.length > 0) await writeParams(trx, runId, params);
  if (tags.length > 0) await writeTags(trx, runId, tags);
}

async function writeMetrics(trx: Trx, runId: string, metrics: readonly Metric[]): Promise<void> {
  const rows = metrics.map((metric) => toMetricRow(runId, metric));
  await trx
    .insertInto("metrics")
    .values(rows)
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  await trx
    .insertInto("latest_metrics")
    .values(rows)
    .onConflict((conflict) =>
      conflict
        .columns(["run_uuid", "key"])
        .doUpdateSet((eb) => ({
          value: eb.ref("excluded.value"),
          timestamp: eb.ref("excluded.timestamp"),
          step: eb.ref("excluded.step"),
          is_nan: eb.ref("excluded.is_nan"),
        }))
        .where(
          sql<boolean>`(excluded.step, excluded.timestamp, excluded.value)
            > (latest_metrics.step, latest_metrics.timestamp, latest_metrics.value)`,
        ),
    )
    .execute();
}

async function writeParams(trx: Trx, runId: string, params: readonly Param[]): Promise<void> {
  await trx
    .insertInto("params")
    .values(params.map(({ key, value }) => ({ run_uuid: runId, key, value })))
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const keys = params.map(({ key }) => key);
  const stored = await trx
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
        `param ${key} of run ${runId} is ${JSON.stringify(before)} and cannot become ${JSON.stringify(value)}`,
        "params are written once: start another run, or use a tag",
        { runId, key, before, value },
      );
  }
}

export async function writeTags(trx: Trx, runId: string, tags: readonly Tag[]): Promise<void> {
  await trx
    .insertInto("tags")
    .values(tags.map(({ key, value }) => ({ run_uuid: runId, key, value })))
    .onConflict((conflict) =>
      conflict.columns(["run_uuid", "key"]).doUpdateSet((eb) => ({ value: eb.ref("excluded.value") })),
    )
    .execute();
  const name = tags.findLast(({ key }) => key === runNameTag)?.value;
  if (name === undefined) return;
  checkRunName(name);
  await trx.updateTable("runs").set({ name }).where("run_uuid", "=", runId).execute();
}
