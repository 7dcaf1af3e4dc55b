import { type Kysely, sql } from "kysely";
import { PipelineError } from "../../base/errors.ts";
import type { Connection, Dialect } from "./dialect.ts";
import { migrations, type TrackingDatabase } from "./schema.ts";

/** @throws TRACKING_STORE_FAILED for a database of a newer program */
export async function bringUpToDate({ db, dialect, label }: Connection, now: number): Promise<void> {
  const before = await migrate(db, dialect, now);
  if (before > migrations.length)
    throw new PipelineError(
      "TRACKING_STORE_FAILED",
      `the tracking store ${label} has schema version ${before}, this program knows up to ${migrations.length}`,
      { remedy: "use the program version that wrote it, or another store", details: { store: label, version: before } },
    );
}

/**
 * Brings a database to the newest version, in one transaction.
 * @returns the version that it had before
 */
async function migrate(db: Kysely<TrackingDatabase>, dialect: Dialect, now: number): Promise<number> {
  return db.transaction().execute(async (trx) => {
    await dialect.lockMigrations(trx);
    const run = (statement: string) => sql.raw(dialect.ddl(statement)).execute(trx);
    await run(`CREATE TABLE IF NOT EXISTS schema_migrations (
      version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL
    ) STRICT`);
    const applied = await trx.selectFrom("schema_migrations").select("version").orderBy("version").execute();
    const before = applied.at(-1)?.version ?? 0;
    for (const [index, { name, statements }] of migrations.entries()) {
      const version = index + 1;
      if (version <= before) continue;
      for (const statement of statements) await run(statement);
      await trx.insertInto("schema_migrations").values({ version, name, applied_at: now }).execute();
    }
    return before;
  });
}
