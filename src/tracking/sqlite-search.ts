import { type Expression, type ExpressionBuilder, type Kysely, type RawBuilder, type SqlBool, sql } from "kysely";
import { loadRuns } from "./sqlite-rows.ts";
import type { TrackingDatabase } from "./sqlite-schema.ts";
import type { RunAttribute, RunCondition, RunField, RunOrder, RunPage, RunSearch } from "./store.ts";
import { trackingLimits } from "./types.ts";
import { invalid } from "./validation.ts";

type Builder = ExpressionBuilder<TrackingDatabase, "runs">;

const attributeColumns = {
  run_id: "runs.run_uuid",
  run_name: "runs.name",
  status: "runs.status",
  user_id: "runs.user_id",
  start_time: "runs.start_time",
  end_time: "runs.end_time",
  artifact_uri: "runs.artifact_uri",
} as const satisfies Record<RunAttribute, string>;

const entityTables = { metric: "latest_metrics", param: "params", tag: "tags" } as const;

/** One page of runs, as RunSearch describes them. */
export async function searchRuns(db: Kysely<TrackingDatabase>, search: RunSearch): Promise<RunPage> {
  const { experimentIds, filter = [], view = "active", orderBy = [], maxResults = 1000, pageToken } = search;
  if (!Number.isInteger(maxResults) || maxResults < 1 || maxResults > trackingLimits.searchResults)
    throw invalid(`maxResults ${maxResults}`, `give a whole number from 1 to ${trackingLimits.searchResults}`);
  const offset = decodePageToken(pageToken);
  const ids = experimentIds.filter((id) => /^\d{1,15}$/.test(id)).map(Number);
  if (ids.length === 0) return { runs: [], nextPageToken: undefined };

  let query = db.selectFrom("runs").selectAll("runs").where("runs.experiment_id", "in", ids);
  if (view !== "all") query = query.where("runs.lifecycle_stage", "=", view);
  for (const condition of filter) query = query.where((eb) => matches(eb, condition));
  for (const order of orderBy) for (const term of orderTerms(order)) query = query.orderBy(term);
  const rows = await query
    .orderBy("runs.start_time", "desc")
    .orderBy("runs.run_uuid")
    .limit(maxResults + 1)
    .offset(offset)
    .execute();
  const runs = await loadRuns(db, rows.slice(0, maxResults));
  return { runs, nextPageToken: rows.length > maxResults ? encodePageToken(offset + maxResults) : undefined };
}

function matches(eb: Builder, condition: RunCondition): Expression<SqlBool> {
  if (condition.entity === "attribute") return compare(sql.ref(attributeColumns[condition.key]), condition);
  const table = entityTables[condition.entity];
  let rows = eb
    .selectFrom(table)
    .select(sql<number>`1`.as("found"))
    .whereRef(`${table}.run_uuid`, "=", "runs.run_uuid")
    .where(`${table}.key`, "=", condition.key)
    .where(compare(sql.ref(`${table}.value`), condition));
  if (condition.entity === "metric") rows = rows.where(sql<SqlBool>`latest_metrics.is_nan = 0`);
  return eb.exists(rows);
}

function compare(column: RawBuilder<unknown>, condition: RunCondition): RawBuilder<SqlBool> {
  const { comparator, value } = condition;
  checkKind(condition);
  switch (comparator) {
    case "like":
      return sql<SqlBool>`${column} GLOB ${globOf(value)}`;
    case "ilike":
      return sql<SqlBool>`lower(${column}) GLOB ${globOf(value.toLowerCase())}`;
    case "in":
    case "not in": {
      // An empty list: IN matches nothing, NOT IN everything.
      const list = value.length === 0 ? sql`SELECT NULL WHERE 0` : sql.join(value);
      return comparator === "in" ? sql<SqlBool>`${column} IN (${list})` : sql<SqlBool>`${column} NOT IN (${list})`;
    }
    case "=":
    case "!=":
    case "<":
    case "<=":
    case ">":
    case ">=":
      return sql<SqlBool>`${column} ${sql.raw(comparator)} ${value}`;
    default:
      return comparator satisfies never;
  }
}

/** Numbers are compared with numbers, text with text; text knows no order. */
function checkKind(condition: RunCondition): void {
  const { entity, key, comparator, value } = condition;
  const isNumeric = entity === "metric" || (entity === "attribute" && (key === "start_time" || key === "end_time"));
  const what = `${entity} ${key}`;
  if (isNumeric && typeof value !== "number")
    throw invalid(
      `${what} is compared (${comparator}) with ${JSON.stringify(value)}`,
      "compare it with a number by = != < <= > >=",
    );
  if (isNumeric) return;
  if (typeof value === "number")
    throw invalid(`${what} is compared with the number ${value}`, "compare it with text: put it in quotes");
  if (comparator.startsWith("<") || comparator.startsWith(">"))
    throw invalid(`${what} is compared by ${comparator}`, "text knows =, !=, like, ilike, in and not in");
}

/** A LIKE pattern as a GLOB pattern: SQLite's LIKE ignores case, GLOB does not. */
function globOf(pattern: string): string {
  return pattern.replaceAll(/[*?[]/g, "[$&]").replaceAll("%", "*").replaceAll("_", "?");
}

function orderTerms(order: RunOrder): RawBuilder<unknown>[] {
  const direction = sql.raw(order.direction === "ascending" ? "ASC" : "DESC");
  const value = fieldValue(order);
  const missing =
    order.entity === "metric"
      ? sql`coalesce((SELECT is_nan FROM latest_metrics WHERE run_uuid = runs.run_uuid AND key = ${order.key}), 2)`
      : sql`${value} IS NULL`;
  return [missing, sql`${value} ${direction}`];
}

function fieldValue(field: RunField): RawBuilder<unknown> {
  if (field.entity === "attribute") return sql`${sql.ref(attributeColumns[field.key])}`;
  const table = sql.table(entityTables[field.entity]);
  return sql`(SELECT value FROM ${table} WHERE run_uuid = runs.run_uuid AND key = ${field.key})`;
}

function encodePageToken(offset: number): string {
  return Buffer.from(JSON.stringify({ offset })).toString("base64url");
}

function decodePageToken(token: string | undefined): number {
  if (token === undefined || token === "") return 0;
  try {
    const { offset } = JSON.parse(Buffer.from(token, "base64url").toString()) as { offset?: unknown };
    if (typeof offset === "number" && Number.isSafeInteger(offset) && offset >= 0) return offset;
  } catch {
    // Reported below: a token that is no JSON is as wrong as one with another content.
  }
  throw invalid(`the page token ${JSON.stringify(token.slice(0, 80))}`, "use the token of the page before as it is");
}
