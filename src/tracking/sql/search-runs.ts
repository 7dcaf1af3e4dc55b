import { type RawBuilder, type SqlBool, sql } from "kysely";
import type { Page } from "../page.ts";
import { type Condition, checkSearchCount, type Order, parseFilter, parseOrder } from "../search/grammar.ts";
import { runGrammar } from "../search/grammars.ts";
import { decodePageToken, encodePageToken } from "../search/page-token.ts";
import type { RunSearch } from "../store.ts";
import { type Run, trackingLimits } from "../types.ts";
import { invalid } from "../validation.ts";
import { compare, hasKey } from "./conditions.ts";
import type { Dialect } from "./dialect.ts";
import { loadRuns } from "./rows.ts";
import type { Session } from "./session.ts";

const attributeColumns: Readonly<Record<string, string>> = {
  run_id: "runs.run_uuid",
  run_name: "runs.name",
  status: "runs.status",
  user_id: "runs.user_id",
  start_time: "runs.start_time",
  end_time: "runs.end_time",
  artifact_uri: "runs.artifact_uri",
};

const entityTables = { metric: "latest_metrics", param: "params", tag: "tags" } as const;

/** One page of runs, as RunSearch describes them. */
export async function searchRuns({ db, dialect }: Session, search: RunSearch): Promise<Page<Run>> {
  const { experimentIds, filter, view = "active", orderBy, maxResults = 1000, pageToken } = search;
  checkMaxResults(maxResults, trackingLimits.searchResults);
  const offset = decodePageToken(pageToken);
  const conditions = parseFilter(filter, runGrammar);
  const orders = parseOrder(orderBy, runGrammar);
  const ids = toExperimentIds(experimentIds);
  if (ids.length === 0) return { items: [], nextPageToken: undefined };

  let query = db.selectFrom("runs").selectAll("runs").where("runs.experiment_id", "in", ids);
  if (view !== "all") query = query.where("runs.lifecycle_stage", "=", view);
  for (const condition of conditions) query = query.where(matches(condition, dialect));
  for (const order of orders) for (const term of orderTerms(order)) query = query.orderBy(term);
  const rows = await query
    .orderBy("runs.start_time", "desc")
    .orderBy("runs.run_uuid")
    .limit(maxResults + 1)
    .offset(offset)
    .execute();
  const items = await loadRuns(db, rows.slice(0, maxResults));
  return { items, nextPageToken: nextToken(rows.length, offset, maxResults) };
}

export function nextToken(found: number, offset: number, maxResults: number): string | undefined {
  return found > maxResults ? encodePageToken(offset + maxResults) : undefined;
}

export function checkMaxResults(maxResults: number, limit: number): void {
  if (!Number.isInteger(maxResults) || maxResults < 1 || maxResults > limit)
    throw invalid(
      `Invalid value ${maxResults} for parameter 'max_results' supplied`,
      `give a whole number from 1 to ${limit}`,
    );
}

/** @throws TRACKING_INVALID for what is no id, and for more than a database can take */
export function toExperimentIds(experimentIds: readonly string[]): number[] {
  checkSearchCount("experiments", experimentIds.length, trackingLimits.searchExperiments);
  return experimentIds.map(toExperimentId);
}

/** @throws TRACKING_INVALID for what is no whole number */
export function toExperimentId(id: string): number {
  if (/^\d{1,15}$/.test(id)) return Number(id);
  throw invalid(`Invalid experiment ID '${id}'`, "an experiment ID is a whole number");
}

function matches(condition: Condition, dialect: Dialect): RawBuilder<SqlBool> {
  const { entity, key } = condition;
  if (entity === "attribute") return compare(sql.ref(attributeColumns[key]!), condition, dialect);
  if (entity === "dataset") return matchesDataset(condition, dialect);
  const table = entityTables[entity];
  const tie = sql`${sql.ref(`${table}.run_uuid`)} = runs.run_uuid`;
  if (entity !== "metric") return hasKey({ table, value: "value", tie }, condition, dialect);
  // NaN differs from every number, and compares in no other way.
  const value = compare(sql.ref("latest_metrics.value"), condition, dialect);
  const holds = condition.comparator === "!=" ? sql`(${value} OR is_nan = 1)` : sql`${value} AND is_nan = 0`;
  return sql<SqlBool>`EXISTS (SELECT 1 FROM latest_metrics WHERE ${tie} AND latest_metrics.key = ${key} AND ${holds})`;
}

function matchesDataset(condition: Condition, dialect: Dialect): RawBuilder<SqlBool> {
  if (condition.key === "context")
    return sql<SqlBool>`EXISTS (SELECT 1 FROM input_tags WHERE input_tags.run_uuid = runs.run_uuid
      AND input_tags.name = 'mlflow.data.context' AND ${compare(sql.ref("input_tags.value"), condition, dialect)})`;
  return sql<SqlBool>`EXISTS (SELECT 1 FROM dataset_inputs
    JOIN datasets ON datasets.dataset_uuid = dataset_inputs.dataset_uuid
    WHERE dataset_inputs.run_uuid = runs.run_uuid AND ${compare(sql.ref(`datasets.${condition.key}`), condition, dialect)})`;
}

function orderTerms(order: Order): RawBuilder<unknown>[] {
  const direction = sql.raw(order.direction === "ascending" ? "ASC" : "DESC");
  const { entity, key } = order;
  if (entity === "dataset")
    throw invalid("runs cannot be ordered by dataset", "order by a metric, param, tag or attribute");
  if (entity === "attribute") {
    const column = sql.ref(attributeColumns[key]!);
    return [sql`${column} IS NULL`, sql`${column} ${direction}`];
  }
  const table = sql.table(entityTables[entity]);
  const value = sql`(SELECT value FROM ${table} WHERE run_uuid = runs.run_uuid AND key = ${key})`;
  const missing =
    entity === "metric"
      ? sql`coalesce((SELECT is_nan FROM latest_metrics WHERE run_uuid = runs.run_uuid AND key = ${key}), 2)`
      : sql`${value} IS NULL`;
  return [missing, sql`${value} ${direction}`];
}
