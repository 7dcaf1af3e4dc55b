import { z } from "zod";
import { modelStages } from "../../registry.ts";
import { runStatuses } from "../../types.ts";

/** The files meta.yaml of the folders that MLflow's file store writes. */

const stage = z.enum(["active", "deleted"]).default("active");
const time = z.number().nullish();

export const experimentSchema = z.object({
  experiment_id: z.coerce.string(),
  name: z.coerce.string(),
  artifact_location: z.string().default(""),
  lifecycle_stage: stage,
  creation_time: time,
  last_update_time: time,
});

export const runSchema = z.object({
  run_id: z.coerce.string(),
  run_name: z.coerce.string().nullish(),
  experiment_id: z.coerce.string(),
  user_id: z.coerce.string().nullish(),
  status: z.union([z.number().int().min(1).max(5), z.enum(runStatuses)]),
  start_time: time,
  end_time: time,
  artifact_uri: z.string().default(""),
  lifecycle_stage: stage,
});

export const datasetSchema = z.object({
  name: z.coerce.string(),
  digest: z.coerce.string(),
  source_type: z.string().default(""),
  source: z.string().default(""),
  schema: z.string().nullish(),
  profile: z.string().nullish(),
});

/** What a run took: a data set or a logged model. Versions before models had one sort only and wrote numbers. */
export const inputSchema = z.object({
  source_type: z.union([z.string(), z.number()]).default("DATASET"),
  source_id: z.coerce.string(),
  tags: z.record(z.string(), z.coerce.string()).default({}),
});

export const outputSchema = z.object({ source_id: z.coerce.string(), step: z.number().int().default(0) });

export const loggedModelSchema = z.object({
  model_id: z.coerce.string(),
  name: z.coerce.string(),
  creation_timestamp: time,
  last_updated_timestamp: time,
  model_type: z.string().nullish(),
  source_run_id: z.string().nullish(),
  status: z.number().int().min(1).max(3),
  lifecycle_stage: stage,
});

export const modelSchema = z.object({
  name: z.coerce.string(),
  description: z.string().nullish(),
  creation_timestamp: time,
  last_updated_timestamp: time,
});

export const versionSchema = modelSchema.extend({
  version: z.coerce.string(),
  current_stage: z.enum(modelStages).default("None"),
  source: z.string().default(""),
  run_id: z.string().nullish(),
  run_link: z.string().nullish(),
  model_id: z.string().nullish(),
});
