import type { Grammar } from "./grammar.ts";

const text = (name: string) => ({ name, type: "text" }) as const;
const number = (name: string) => ({ name, type: "number" }) as const;
const integer = (name: string) => ({ name, type: "integer" }) as const;

export const runGrammar = {
  entities: ["metric", "param", "tag", "attribute", "dataset"],
  attributes: {
    run_id: text("run_id"),
    run_name: text("run_name"),
    "run name": text("run_name"),
    "Run name": text("run_name"),
    "Run Name": text("run_name"),
    status: text("status"),
    user_id: text("user_id"),
    artifact_uri: text("artifact_uri"),
    start_time: number("start_time"),
    created: number("start_time"),
    Created: number("start_time"),
    end_time: number("end_time"),
  },
  orderable: ["run_id", "run_name", "status", "user_id", "artifact_uri", "start_time", "end_time"],
  lists: ["run_id"],
  nullable: ["tag", "param"],
} as const satisfies Grammar;

export const experimentGrammar = {
  entities: ["tag", "attribute"],
  attributes: {
    name: text("name"),
    experiment_id: text("experiment_id"),
    creation_time: integer("creation_time"),
    last_update_time: integer("last_update_time"),
  },
  orderable: ["name", "experiment_id", "creation_time", "last_update_time"],
  lists: ["experiment_id"],
  exact: ["experiment_id"],
  nullable: ["tag"],
} as const satisfies Grammar;

export const registeredModelGrammar = {
  entities: ["tag", "attribute"],
  attributes: {
    name: text("name"),
    timestamp: integer("last_updated_timestamp"),
    last_updated_timestamp: integer("last_updated_timestamp"),
  },
  orderable: ["name", "last_updated_timestamp"],
  lists: ["name"],
  nullable: [],
} as const satisfies Grammar;

export const modelVersionGrammar = {
  entities: ["tag", "attribute"],
  attributes: {
    name: text("name"),
    run_id: text("run_id"),
    source_path: text("source_path"),
    version_number: integer("version_number"),
    creation_timestamp: integer("creation_timestamp"),
    last_updated_timestamp: integer("last_updated_timestamp"),
  },
  orderable: ["name", "version_number", "creation_timestamp", "last_updated_timestamp"],
  lists: ["name", "run_id"],
  nullable: [],
} as const satisfies Grammar;

export const loggedModelGrammar = {
  entities: ["metric", "param", "tag", "attribute"],
  attributes: {
    name: text("name"),
    model_id: text("model_id"),
    model_type: text("model_type"),
    status: text("status"),
    source_run_id: text("source_run_id"),
    creation_timestamp: number("creation_timestamp_ms"),
    creation_time: number("creation_timestamp_ms"),
    creation_timestamp_ms: number("creation_timestamp_ms"),
    last_updated_timestamp: number("last_updated_timestamp_ms"),
    last_updated_timestamp_ms: number("last_updated_timestamp_ms"),
  },
  orderable: [
    ...["name", "model_id", "model_type", "status", "source_run_id"],
    ...["creation_timestamp_ms", "last_updated_timestamp_ms"],
  ],
  lists: ["name", "model_id", "model_type", "status", "source_run_id"],
  nullable: [],
} as const satisfies Grammar;
