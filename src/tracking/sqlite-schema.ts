import { type Generated, type Kysely, sql } from "kysely";

/** Tables and columns as MLflow's SQL store names them. Times in milliseconds since 1970. */
export interface TrackingDatabase {
  experiments: {
    experiment_id: Generated<number>;
    name: string;
    artifact_location: string;
    lifecycle_stage: "active" | "deleted";
    creation_time: number;
    last_update_time: number;
  };
  experiment_tags: { experiment_id: number; key: string; value: string };
  runs: {
    run_uuid: string;
    name: string;
    user_id: string;
    status: string;
    start_time: number;
    end_time: number | null;
    deleted_time: number | null;
    lifecycle_stage: "active" | "deleted";
    artifact_uri: string;
    experiment_id: number;
  };
  metrics: MetricRow;
  latest_metrics: MetricRow;
  params: { run_uuid: string; key: string; value: string };
  tags: { run_uuid: string; key: string; value: string };
  schema_migrations: { version: number; name: string; applied_at: number };
}

/** A value that is NaN is stored as 0 with is_nan = 1. */
export interface MetricRow {
  run_uuid: string;
  key: string;
  value: number;
  timestamp: number;
  step: number;
  is_nan: number;
}

export interface Migration {
  readonly name: string;
  readonly statements: readonly string[];
}

/** Applied in order, each once; the version is the position. Never change one that has been released. */
export const migrations: readonly Migration[] = [
  {
    name: "experiments and runs",
    statements: [
      `CREATE TABLE experiments (
        experiment_id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        artifact_location TEXT NOT NULL,
        lifecycle_stage TEXT NOT NULL CHECK (lifecycle_stage IN ('active', 'deleted')),
        creation_time INTEGER NOT NULL,
        last_update_time INTEGER NOT NULL
      ) STRICT`,
      `CREATE TABLE experiment_tags (
        experiment_id INTEGER NOT NULL REFERENCES experiments ON DELETE CASCADE,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (experiment_id, key)
      ) STRICT, WITHOUT ROWID`,
      `CREATE TABLE runs (
        run_uuid TEXT NOT NULL PRIMARY KEY,
        name TEXT NOT NULL,
        user_id TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('RUNNING', 'SCHEDULED', 'FINISHED', 'FAILED', 'KILLED')),
        start_time INTEGER NOT NULL,
        end_time INTEGER,
        deleted_time INTEGER,
        lifecycle_stage TEXT NOT NULL CHECK (lifecycle_stage IN ('active', 'deleted')),
        artifact_uri TEXT NOT NULL,
        experiment_id INTEGER NOT NULL REFERENCES experiments,
        CHECK ((end_time IS NULL) = (status IN ('RUNNING', 'SCHEDULED')))
      ) STRICT`,
      "CREATE INDEX runs_by_experiment ON runs (experiment_id, start_time DESC)",
      `CREATE TABLE metrics (
        run_uuid TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
        key TEXT NOT NULL,
        value REAL NOT NULL,
        timestamp INTEGER NOT NULL,
        step INTEGER NOT NULL,
        is_nan INTEGER NOT NULL CHECK (is_nan IN (0, 1)),
        PRIMARY KEY (run_uuid, key, timestamp, step, value, is_nan)
      ) STRICT, WITHOUT ROWID`,
      `CREATE TABLE latest_metrics (
        run_uuid TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
        key TEXT NOT NULL,
        value REAL NOT NULL,
        timestamp INTEGER NOT NULL,
        step INTEGER NOT NULL,
        is_nan INTEGER NOT NULL CHECK (is_nan IN (0, 1)),
        PRIMARY KEY (run_uuid, key)
      ) STRICT, WITHOUT ROWID`,
      `CREATE TABLE params (
        run_uuid TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (run_uuid, key)
      ) STRICT, WITHOUT ROWID`,
      `CREATE TABLE tags (
        run_uuid TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (run_uuid, key)
      ) STRICT, WITHOUT ROWID`,
    ],
  },
];

/**
 * Brings a database to the newest version, in one transaction.
 * @returns the version that it had before
 */
export async function migrate(db: Kysely<TrackingDatabase>, now: number): Promise<number> {
  return db.transaction().execute(async (trx) => {
    await sql`CREATE TABLE IF NOT EXISTS schema_migrations (
      version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL
    ) STRICT`.execute(trx);
    const applied = await trx.selectFrom("schema_migrations").select("version").orderBy("version").execute();
    const before = applied.at(-1)?.version ?? 0;
    for (const [index, { name, statements }] of migrations.entries()) {
      const version = index + 1;
      if (version <= before) continue;
      for (const statement of statements) await sql.raw(statement).execute(trx);
      await trx.insertInto("schema_migrations").values({ version, name, applied_at: now }).execute();
    }
    return before;
  });
}
