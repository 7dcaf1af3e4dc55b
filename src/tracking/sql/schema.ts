import type { Generated } from "kysely";

/** Tables and columns as MLflow's SQL store names them, most of them. Times in milliseconds since 1970. */
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
  latest_metrics: LatestMetricRow;
  params: { run_uuid: string; key: string; value: string };
  tags: { run_uuid: string; key: string; value: string };
  datasets: {
    dataset_uuid: string;
    experiment_id: number;
    name: string;
    digest: string;
    dataset_source_type: string;
    dataset_source: string;
    dataset_schema: string | null;
    dataset_profile: string | null;
  };
  dataset_inputs: { run_uuid: string; dataset_uuid: string; position: number };
  input_tags: { run_uuid: string; dataset_uuid: string; name: string; value: string };
  model_inputs: { run_uuid: string; model_id: string };
  model_outputs: { run_uuid: string; model_id: string; step: number };
  logged_models: {
    model_id: string;
    experiment_id: number;
    name: string;
    artifact_location: string;
    creation_timestamp_ms: number;
    last_updated_timestamp_ms: number;
    status: string;
    model_type: string;
    source_run_id: string;
    lifecycle_stage: "active" | "deleted";
  };
  logged_model_params: { model_id: string; key: string; value: string };
  logged_model_tags: { model_id: string; key: string; value: string };
  logged_model_metrics: {
    model_id: string;
    key: string;
    value: number;
    timestamp: number;
    step: number;
    run_id: string;
    dataset_name: string;
    dataset_digest: string;
  };
  registered_models: { name: string; creation_time: number; last_updated_time: number; description: string };
  registered_model_tags: { name: string; key: string; value: string };
  registered_model_aliases: { name: string; alias: string; version: number };
  model_versions: {
    name: string;
    version: number;
    creation_time: number;
    last_updated_time: number;
    description: string;
    current_stage: string;
    source: string;
    storage_location: string;
    run_id: string;
    run_link: string;
    model_id: string;
  };
  model_version_tags: { name: string; version: number; key: string; value: string };
  model_events: { name: string; position: number; time: number; version: number; kind: string; value: string };
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

/** With the smallest and largest value so far; null as long as all were NaN. */
export interface LatestMetricRow extends MetricRow {
  min_value: number | null;
  max_value: number | null;
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
  {
    name: "ranges of metrics, datasets, logged models and the model registry",
    statements: [
      "ALTER TABLE latest_metrics ADD COLUMN min_value REAL",
      "ALTER TABLE latest_metrics ADD COLUMN max_value REAL",
      `UPDATE latest_metrics SET
        min_value = (SELECT min(m.value) FROM metrics m
          WHERE m.run_uuid = latest_metrics.run_uuid AND m.key = latest_metrics.key AND m.is_nan = 0),
        max_value = (SELECT max(m.value) FROM metrics m
          WHERE m.run_uuid = latest_metrics.run_uuid AND m.key = latest_metrics.key AND m.is_nan = 0)`,
      "CREATE INDEX latest_metrics_by_key ON latest_metrics (key, value)",
      "CREATE INDEX params_by_key ON params (key)",
      `CREATE TABLE datasets (
        dataset_uuid TEXT NOT NULL PRIMARY KEY,
        experiment_id INTEGER NOT NULL REFERENCES experiments ON DELETE CASCADE,
        name TEXT NOT NULL,
        digest TEXT NOT NULL,
        dataset_source_type TEXT NOT NULL,
        dataset_source TEXT NOT NULL,
        dataset_schema TEXT,
        dataset_profile TEXT,
        UNIQUE (experiment_id, name, digest)
      ) STRICT`,
      `CREATE TABLE dataset_inputs (
        run_uuid TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
        dataset_uuid TEXT NOT NULL REFERENCES datasets ON DELETE CASCADE,
        position INTEGER NOT NULL,
        PRIMARY KEY (run_uuid, dataset_uuid)
      ) STRICT, WITHOUT ROWID`,
      "CREATE INDEX dataset_inputs_by_dataset ON dataset_inputs (dataset_uuid)",
      `CREATE TABLE input_tags (
        run_uuid TEXT NOT NULL,
        dataset_uuid TEXT NOT NULL,
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (run_uuid, dataset_uuid, name),
        FOREIGN KEY (run_uuid, dataset_uuid) REFERENCES dataset_inputs ON DELETE CASCADE
      ) STRICT, WITHOUT ROWID`,
      `CREATE TABLE model_inputs (
        run_uuid TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
        model_id TEXT NOT NULL,
        PRIMARY KEY (run_uuid, model_id)
      ) STRICT, WITHOUT ROWID`,
      `CREATE TABLE model_outputs (
        run_uuid TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
        model_id TEXT NOT NULL,
        step INTEGER NOT NULL,
        PRIMARY KEY (run_uuid, model_id, step)
      ) STRICT, WITHOUT ROWID`,
      `CREATE TABLE logged_models (
        model_id TEXT NOT NULL PRIMARY KEY,
        experiment_id INTEGER NOT NULL REFERENCES experiments ON DELETE CASCADE,
        name TEXT NOT NULL,
        artifact_location TEXT NOT NULL,
        creation_timestamp_ms INTEGER NOT NULL,
        last_updated_timestamp_ms INTEGER NOT NULL,
        status TEXT NOT NULL,
        model_type TEXT NOT NULL,
        source_run_id TEXT NOT NULL,
        lifecycle_stage TEXT NOT NULL CHECK (lifecycle_stage IN ('active', 'deleted'))
      ) STRICT`,
      "CREATE INDEX logged_models_by_experiment ON logged_models (experiment_id, creation_timestamp_ms DESC)",
      `CREATE TABLE logged_model_params (
        model_id TEXT NOT NULL REFERENCES logged_models ON DELETE CASCADE,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (model_id, key)
      ) STRICT, WITHOUT ROWID`,
      `CREATE TABLE logged_model_tags (
        model_id TEXT NOT NULL REFERENCES logged_models ON DELETE CASCADE,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (model_id, key)
      ) STRICT, WITHOUT ROWID`,
      `CREATE TABLE logged_model_metrics (
        model_id TEXT NOT NULL REFERENCES logged_models ON DELETE CASCADE,
        key TEXT NOT NULL,
        value REAL NOT NULL,
        timestamp INTEGER NOT NULL,
        step INTEGER NOT NULL,
        run_id TEXT NOT NULL,
        dataset_name TEXT NOT NULL,
        dataset_digest TEXT NOT NULL,
        PRIMARY KEY (model_id, key, timestamp, step, run_id)
      ) STRICT, WITHOUT ROWID`,
      `CREATE TABLE registered_models (
        name TEXT NOT NULL PRIMARY KEY,
        creation_time INTEGER NOT NULL,
        last_updated_time INTEGER NOT NULL,
        description TEXT NOT NULL
      ) STRICT`,
      `CREATE TABLE registered_model_tags (
        name TEXT NOT NULL REFERENCES registered_models ON DELETE CASCADE ON UPDATE CASCADE,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (name, key)
      ) STRICT, WITHOUT ROWID`,
      `CREATE TABLE registered_model_aliases (
        name TEXT NOT NULL REFERENCES registered_models ON DELETE CASCADE ON UPDATE CASCADE,
        alias TEXT NOT NULL,
        version INTEGER NOT NULL,
        PRIMARY KEY (name, alias)
      ) STRICT, WITHOUT ROWID`,
      `CREATE TABLE model_versions (
        name TEXT NOT NULL REFERENCES registered_models ON DELETE CASCADE ON UPDATE CASCADE,
        version INTEGER NOT NULL,
        creation_time INTEGER NOT NULL,
        last_updated_time INTEGER NOT NULL,
        description TEXT NOT NULL,
        current_stage TEXT NOT NULL,
        source TEXT NOT NULL,
        storage_location TEXT NOT NULL,
        run_id TEXT NOT NULL,
        run_link TEXT NOT NULL,
        model_id TEXT NOT NULL,
        PRIMARY KEY (name, version)
      ) STRICT, WITHOUT ROWID`,
      `CREATE TABLE model_version_tags (
        name TEXT NOT NULL,
        version INTEGER NOT NULL,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (name, version, key),
        FOREIGN KEY (name, version) REFERENCES model_versions ON DELETE CASCADE ON UPDATE CASCADE
      ) STRICT, WITHOUT ROWID`,
    ],
  },
  {
    name: "what happened to model versions",
    statements: [
      `CREATE TABLE model_events (
        name TEXT NOT NULL REFERENCES registered_models ON DELETE CASCADE ON UPDATE CASCADE,
        position INTEGER NOT NULL,
        time INTEGER NOT NULL,
        version INTEGER NOT NULL,
        kind TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (name, position)
      ) STRICT, WITHOUT ROWID`,
    ],
  },
];
