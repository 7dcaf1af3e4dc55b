import { type RawBuilder, type SqlBool, sql } from "kysely";
import type { Condition } from "../search/grammar.ts";
import { ilike } from "./case-fold.ts";
import type { Dialect } from "./dialect.ts";

/** A comparison of a column with what the condition gives. */
export function compare(column: RawBuilder<unknown>, condition: Condition, dialect: Dialect): RawBuilder<SqlBool> {
  switch (condition.comparator) {
    case "LIKE":
      return sql<SqlBool>`${column} LIKE ${dialect.likePattern(condition.value)}`;
    case "ILIKE":
      return ilike(column, condition.value, dialect.likePattern);
    case "IN":
      return sql<SqlBool>`${column} IN (${sql.join(condition.value)})`;
    case "NOT IN":
      return sql<SqlBool>`${column} NOT IN (${sql.join(condition.value)})`;
    case "IS NULL":
    case "IS NOT NULL":
      return sql<SqlBool>`${column} ${sql.raw(condition.comparator)}`;
    case "=":
    case "!=":
    case "<":
    case "<=":
    case ">":
    case ">=":
      return sql<SqlBool>`${column} ${sql.raw(condition.comparator)} ${condition.value}`;
    default:
      return condition satisfies never;
  }
}

interface Keyed {
  /** Table with a row a key. */
  readonly table: string;
  readonly value: string;
  /** Ties its rows to those of the query. */
  readonly tie: RawBuilder<unknown>;
  readonly keyColumn?: string;
}

/** Whether there is a row of that key whose value compares so. */
export function hasKey(
  { table, value, tie, keyColumn = "key" }: Keyed,
  condition: Condition,
  dialect: Dialect,
): RawBuilder<SqlBool> {
  const rows = sql`SELECT 1 FROM ${sql.table(table)} WHERE ${tie} AND ${sql.ref(`${table}.${keyColumn}`)} = ${condition.key}`;
  if (condition.comparator === "IS NULL") return sql<SqlBool>`NOT EXISTS (${rows})`;
  if (condition.comparator === "IS NOT NULL") return sql<SqlBool>`EXISTS (${rows})`;
  return sql<SqlBool>`EXISTS (${rows} AND ${compare(sql.ref(`${table}.${value}`), condition, dialect)})`;
}
