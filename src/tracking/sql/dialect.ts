import type { Kysely, Transaction } from "kysely";
import type { MetricRow, TrackingDatabase } from "./schema.ts";

/** What the databases do in their own way. */
export interface Dialect {
  readonly name: "sqlite" | "postgresql";
  /** Turns a statement of the schema, written for SQLite, into its own words. */
  ddl(statement: string): string;
  /** Two processes must not migrate at the same time. */
  lockMigrations(trx: Transaction<TrackingDatabase>): Promise<unknown>;
  /** A pattern in which only % and _ are special. */
  likePattern(pattern: string): string;
  /** Adds points, without those that are there already. */
  insertMetrics(trx: Transaction<TrackingDatabase>, rows: readonly MetricRow[]): Promise<unknown>;
  /** Takes a row lock where writers are not alone: the row of the run that is written to. */
  lockRun(trx: Transaction<TrackingDatabase>, runId: string): Promise<unknown>;
  /** Repeats work that lost against another connection. */
  retry<T>(work: () => Promise<T>): Promise<T>;
  /** Whether a unique key was already there. */
  isTaken(error: unknown): boolean;
}

export interface Connection {
  readonly db: Kysely<TrackingDatabase>;
  readonly dialect: Dialect;
  /** Names the database in messages, without a password. */
  readonly label: string;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
