import { sql } from "kysely";
import type { Page } from "../page.ts";
import { decodePageToken } from "../search/page-token.ts";
import type { HistorySearch } from "../store.ts";
import type { DatasetSummary, Metric, MetricRange } from "../types.ts";
import { inChunks, toMetric } from "./rows.ts";
import { getRunRow } from "./runs.ts";
import type { MetricRow } from "./schema.ts";
import { checkMaxResults, nextToken, toExperimentIds } from "./search-runs.ts";
import type { Session } from "./session.ts";

const maxPoints = 1_000_000;
const maxSummaries = 1000;

export async function getMetricHistory(
  session: Session,
  { runId, key, maxResults, pageToken }: HistoryPage,
): Promise<Page<Metric>> {
  if (maxResults !== undefined) checkMaxResults(maxResults, maxPoints);
  const offset = decodePageToken(pageToken);
  await getRunRow(session, runId);
  let query = session.db
    .selectFrom("metrics")
    .select(["key", "value", "timestamp", "step", "is_nan"])
    .where("run_uuid", "=", runId)
    .where("key", "=", key)
    .orderBy("timestamp")
    .orderBy("step")
    .orderBy("value");
  if (maxResults !== undefined) query = query.limit(maxResults + 1).offset(offset);
  else if (offset > 0) query = query.limit(maxPoints).offset(offset);
  const rows = await query.execute();
  if (maxResults === undefined) return { items: rows.map(toMetric), nextPageToken: undefined };
  return {
    items: rows.slice(0, maxResults).map(toMetric),
    nextPageToken: nextToken(rows.length, offset, maxResults),
  };
}

interface HistoryPage {
  readonly runId: string;
  readonly key: string;
  readonly maxResults?: number | undefined;
  readonly pageToken?: string | undefined;
}

/** The first point of each of `maxResults` equal groups, and the last point of all. */
export async function sampleMetricHistory(
  session: Session,
  { runIds, key, maxResults, steps }: HistorySearch,
): Promise<(Metric & { readonly runId: string })[]> {
  const points: (Metric & { readonly runId: string })[] = [];
  // SQLite takes numbers of JavaScript for floating ones, whose division keeps its fraction.
  const groups = sql`CAST(${maxResults} AS BIGINT)`;
  const within = steps === undefined ? sql`1 = 1` : sql`step BETWEEN ${steps.from} AND ${steps.to}`;
  for (const runId of runIds) {
    await getRunRow(session, runId);
    const { rows } = await sql<MetricRow>`
      SELECT key, value, timestamp, step, is_nan FROM (
        SELECT key, value, timestamp, step, is_nan,
          row_number() OVER (ORDER BY step, timestamp, value, is_nan) - 1 AS place,
          count(*) OVER () AS total
        FROM metrics WHERE run_uuid = ${runId} AND key = ${key} AND ${within}
      ) AS numbered
      WHERE total <= ${groups} OR place = total - 1
        OR (place * ${groups}) / total <> ((place - 1) * ${groups}) / total OR place = 0
      ORDER BY place`.execute(session.db);
    // One point too many where the last one is not the first of its group.
    if (rows.length > maxResults) rows.splice(maxResults - 1, 1);
    for (const row of rows) points.push({ ...toMetric(row), runId });
  }
  return points;
}

/**
 * A history for a picture: first and last point, and the smallest and the largest of each of equal groups, so that no peak is
 * lost. Short ones are whole.
 */
export async function getMetricCurves(
  { db }: Session,
  { runIds, key, maxPoints: most, steps }: CurveSearch,
): Promise<(Metric & { readonly runId: string })[]> {
  const points: (Metric & { readonly runId: string })[] = [];
  const groups = sql`CAST(${Math.max(1, Math.floor((most - 2) / 2))} AS BIGINT)`;
  const within = steps === undefined ? sql`1 = 1` : sql`step BETWEEN ${steps.from} AND ${steps.to}`;
  for (const runId of runIds) {
    const { rows } = await sql<MetricRow>`
      SELECT key, value, timestamp, step, is_nan FROM (
        SELECT key, value, timestamp, step, is_nan, place, total,
          row_number() OVER (PARTITION BY (place * ${groups}) / total ORDER BY is_nan, value, place) AS lowest,
          row_number() OVER (PARTITION BY (place * ${groups}) / total ORDER BY is_nan, value DESC, place) AS highest
        FROM (
          SELECT key, value, timestamp, step, is_nan,
            row_number() OVER (ORDER BY step, timestamp, value, is_nan) - 1 AS place,
            count(*) OVER () AS total
          FROM metrics WHERE run_uuid = ${runId} AND key = ${key} AND ${within}
        ) AS numbered
      ) AS ranked
      WHERE total <= CAST(${most} AS BIGINT) OR place = 0 OR place = total - 1 OR lowest = 1 OR highest = 1
      ORDER BY place`.execute(db);
    for (const row of rows) points.push({ ...toMetric(row), runId });
  }
  return points;
}

/** What of histories a picture shows. */
export interface CurveSearch {
  readonly runIds: readonly string[];
  readonly key: string;
  /** Of each run; at least 4. */
  readonly maxPoints: number;
  /** Both ends count. */
  readonly steps?: { readonly from: number; readonly to: number };
}

export async function getMetricRanges({ db }: Session, runIds: readonly string[]): Promise<MetricRange[]> {
  const rows = await inChunks(runIds, (chunk) =>
    db
      .selectFrom("latest_metrics")
      .select(["run_uuid", "key", "min_value", "max_value"])
      .where("run_uuid", "in", chunk)
      .execute(),
  );
  return rows.flatMap(({ run_uuid, key, min_value, max_value }) =>
    min_value === null || max_value === null ? [] : [{ runId: run_uuid, key, min: min_value, max: max_value }],
  );
}

export async function searchDatasets({ db }: Session, experimentIds: readonly string[]): Promise<DatasetSummary[]> {
  const ids = toExperimentIds(experimentIds);
  if (ids.length === 0) return [];
  const rows = await db
    .selectFrom("datasets")
    .innerJoin("dataset_inputs", "dataset_inputs.dataset_uuid", "datasets.dataset_uuid")
    .leftJoin("input_tags", (join) =>
      join
        .onRef("input_tags.dataset_uuid", "=", "dataset_inputs.dataset_uuid")
        .onRef("input_tags.run_uuid", "=", "dataset_inputs.run_uuid")
        .on("input_tags.name", "=", "mlflow.data.context"),
    )
    .select(["datasets.experiment_id", "datasets.name", "datasets.digest", "input_tags.value as context"])
    .distinct()
    .where("datasets.experiment_id", "in", ids)
    .orderBy("datasets.name")
    .limit(maxSummaries)
    .execute();
  return rows.map(({ experiment_id, name, digest, context }) => ({
    experimentId: String(experiment_id),
    name,
    digest,
    context: context ?? undefined,
  }));
}
