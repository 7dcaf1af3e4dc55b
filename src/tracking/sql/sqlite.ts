import { mkdirSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Kysely, type SqliteDatabase, SqliteDialect, type SqliteStatement, sql } from "kysely";
import Database from "libsql";
import { PipelineError } from "../../base/errors.ts";
import { storageError } from "../../base/storage-error.ts";
import { type Connection, type Dialect, messageOf } from "./dialect.ts";
import { bringUpToDate } from "./migrate.ts";
import type { TrackingDatabase } from "./schema.ts";

/** How long a write waits for another connection's transaction. */
const busyTimeoutMs = 10_000;

/** SQLite's own waiting blocks the thread, so it is kept short; `retryWhenBusy` waits the rest without blocking. */
const blockingTimeoutMs = 20;

/** The ones used last are kept. */
const maxStatements = 200;

const sqlite: Dialect = {
  name: "sqlite",
  ddl: (statement) => statement,
  // A transaction that begins as "immediate" is alone already.
  lockMigrations: async () => undefined,
  lockRun: async () => undefined,
  likePattern: (pattern) => pattern,
  // One bound value instead of six a point: the statement stays the same and small.
  insertMetrics: (trx, rows) =>
    sql`INSERT OR IGNORE INTO metrics (run_uuid, key, value, timestamp, step, is_nan)
      SELECT ${rows[0]?.run_uuid ?? ""}, value ->> 0, CAST(value ->> 1 AS REAL), value ->> 2, value ->> 3, value ->> 4
      FROM json_each(${JSON.stringify(rows.map((row) => [row.key, row.value, row.timestamp, row.step, row.is_nan]))})`.execute(
      trx,
    ),
  retry: retryWhenBusy,
  isTaken: (error) => codeOf(error).startsWith("SQLITE_CONSTRAINT"),
};

/**
 * Opens (and creates, and brings up to date) a tracking database: write-ahead log, every commit on disk before it is
 * acknowledged, foreign keys checked.
 * @param path a file, or ":memory:"
 */
export async function connectSqlite(path: string, now: number): Promise<Connection> {
  try {
    return await retryWhenBusy(() => connect(path, now));
  } catch (error) {
    if (error instanceof PipelineError) throw error;
    const full = storageError(error, path);
    if (full !== undefined) throw full;
    throw new PipelineError("TRACKING_STORE_FAILED", `cannot open the tracking store ${path}: ${messageOf(error)}`, {
      cause: error,
      remedy: "check that the path is a writable SQLite file of this program, or choose another one",
      details: { path },
    });
  }
}

async function connect(path: string, now: number): Promise<Connection> {
  const file = path === ":memory:" ? path : resolve(path);
  if (file !== ":memory:") mkdirSync(dirname(file), { recursive: true });
  const database = new Database(file, { timeout: blockingTimeoutMs });
  try {
    const db = new Kysely<TrackingDatabase>({ dialect: new SqliteDialect({ database: immediate(database) }) });
    database.exec(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA case_sensitive_like = ON",
    );
    const connection = { db, dialect: sqlite, label: path };
    await bringUpToDate(connection, now);
    return connection;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Repeats work that found the database locked, with growing pauses, for at most ten seconds. */
async function retryWhenBusy<T>(work: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + busyTimeoutMs;
  for (let attempt = 0; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (!codeOf(error).startsWith("SQLITE_BUSY") || performance.now() > deadline) throw error;
      await sleep(Math.min(2 ** attempt, 50) * (0.5 + Math.random()));
    }
  }
}

const nothingToDo: SqliteStatement = {
  reader: false,
  all: () => [],
  run: () => ({ changes: 0, lastInsertRowid: 0 }),
  iterate: () => [].values(),
};

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

/**
 * Kysely begins transactions as deferred; one that reads before it writes then fails at once when another process has
 * written in between. Taking the write lock at the start leaves one place where a transaction can find the database
 * locked, and nothing to lose by trying again.
 *
 * Statements are kept: preparing is half the work of a small query, and a "begin" that found the database locked stays
 * in progress, which blocks every later commit, until the same statement runs again.
 */
function immediate(database: Database.Database): SqliteDatabase {
  const statements = new Map<string, SqliteStatement>();
  return {
    close: () => {
      statements.clear();
      database.close();
    },
    prepare: (text) => {
      // On a full disk SQLite has rolled back by itself; that error must not take the place of the first one.
      if (text === "rollback" && !database.inTransaction) return nothingToDo;
      const wanted = text === "begin" ? "begin immediate" : text;
      const known = statements.get(wanted);
      const statement = known ?? (database.prepare(wanted) as unknown as SqliteStatement);
      statements.delete(wanted);
      statements.set(wanted, statement);
      if (statements.size > maxStatements) statements.delete(statements.keys().next().value ?? "");
      return statement;
    },
  };
}
