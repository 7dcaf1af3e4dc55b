import { mkdirSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Kysely, type SqliteDatabase, SqliteDialect, type SqliteStatement } from "kysely";
import Database from "libsql";
import { PipelineError } from "../base/errors.ts";
import { migrate, migrations, type TrackingDatabase } from "./sqlite-schema.ts";

/** How long a write waits for another connection's transaction. */
const busyTimeoutMs = 10_000;

/** SQLite's own waiting blocks the thread, so it is kept short; `retryWhenBusy` waits the rest without blocking. */
const blockingTimeoutMs = 20;

/**
 * Opens (and creates, and brings up to date) a tracking database: write-ahead log, every commit on disk before it is
 * acknowledged, foreign keys checked.
 * @param path a file, or ":memory:"
 */
export async function openTrackingDatabase(path: string, now: number): Promise<Kysely<TrackingDatabase>> {
  try {
    return await retryWhenBusy(() => connect(path, now));
  } catch (error) {
    if (error instanceof PipelineError) throw error;
    throw new PipelineError("TRACKING_STORE_FAILED", `cannot open the tracking store ${path}: ${messageOf(error)}`, {
      cause: error,
      remedy: "check that the path is a writable SQLite file of this program, or choose another one",
      details: { path },
    });
  }
}

async function connect(path: string, now: number): Promise<Kysely<TrackingDatabase>> {
  const file = path === ":memory:" ? path : resolve(path);
  if (file !== ":memory:") mkdirSync(dirname(file), { recursive: true });
  const connection = new Database(file, { timeout: blockingTimeoutMs });
  try {
    const db = new Kysely<TrackingDatabase>({ dialect: new SqliteDialect({ database: immediate(connection) }) });
    connection.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON");
    const before = await migrate(db, now);
    if (before > migrations.length)
      throw new PipelineError(
        "TRACKING_STORE_FAILED",
        `the tracking store ${path} has schema version ${before}, this program knows up to ${migrations.length}`,
        { remedy: "use the program version that wrote it, or another store", details: { path, version: before } },
      );
    return db;
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** Repeats work that found the database locked, with growing pauses, for at most ten seconds. */
export async function retryWhenBusy<T>(work: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + busyTimeoutMs;
  for (let attempt = 0; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (!isBusy(error) || performance.now() > deadline) throw error;
      await sleep(Math.min(2 ** attempt, 50) * (0.5 + Math.random()));
    }
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && "code" in error && String(error.code).startsWith("SQLITE_BUSY");
}

/**
 * Kysely begins transactions as deferred; one that reads before it writes then fails at once when another process has
 * written in between. Taking the write lock at the start leaves one place where a transaction can find the database
 * locked, and nothing to lose by trying again.
 */
function immediate(connection: Database.Database): SqliteDatabase {
  return {
    close: () => {
      connection.close();
    },
    prepare: (text) => connection.prepare(text === "begin" ? "begin immediate" : text) as unknown as SqliteStatement,
  };
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
