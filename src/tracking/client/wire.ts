import { z } from "zod";
import { type ModelVersion, modelStages, type RegisteredModel } from "../registry.ts";
import {
  type DatasetInput,
  type Experiment,
  type FileInfo,
  type LoggedModel,
  loggedModelStatuses,
  type Metric,
  type Run,
  type RunInfo,
  runStatuses,
} from "../types.ts";

/** Answers of a tracking server. Whole numbers come as numbers or as text, depending on who serves. */

const int = z.union([z.number(), z.string()]).transform(Number).pipe(z.number().int());
const double = z.union([z.number(), z.string().transform(Number)]);
const text = z.string().default("");
const entry = z.object({ key: z.string(), value: text });
const entries = z.array(entry).default([]);
const stage = z.enum(["active", "deleted"]).default("active");

export const experimentAnswer = z
  .object({
    experiment_id: z.string(),
    name: z.string(),
    artifact_location: text,
    lifecycle_stage: stage,
    creation_time: int.default(0),
    last_update_time: int.default(0),
    tags: entries,
  })
  .transform(
    (wire): Experiment => ({
      experimentId: wire.experiment_id,
      name: wire.name,
      artifactLocation: wire.artifact_location,
      lifecycleStage: wire.lifecycle_stage,
      creationTime: wire.creation_time,
      lastUpdateTime: wire.last_update_time,
      tags: wire.tags,
    }),
  );

export const metricAnswer = z
  .object({
    key: z.string(),
    value: double,
    timestamp: int,
    step: int.default(0),
    dataset_name: z.string().optional(),
    dataset_digest: z.string().optional(),
    model_id: z.string().optional(),
    run_id: z.string().optional(),
  })
  .transform(
    (wire): Metric => ({
      key: wire.key,
      value: wire.value,
      timestamp: wire.timestamp,
      step: wire.step,
      ...(wire.dataset_name === undefined ? {} : { datasetName: wire.dataset_name }),
      ...(wire.dataset_digest === undefined ? {} : { datasetDigest: wire.dataset_digest }),
      ...(wire.model_id === undefined ? {} : { modelId: wire.model_id }),
      ...(wire.run_id === undefined ? {} : { runId: wire.run_id }),
    }),
  );

const runInfo = z
  .object({
    run_id: z.string(),
    run_name: text,
    experiment_id: z.string(),
    user_id: text,
    status: z.enum(runStatuses),
    start_time: int.default(0),
    end_time: int.optional(),
    artifact_uri: text,
    lifecycle_stage: stage,
  })
  .transform(
    (wire): RunInfo => ({
      runId: wire.run_id,
      runName: wire.run_name,
      experimentId: wire.experiment_id,
      userId: wire.user_id,
      startTime: wire.start_time,
      artifactUri: wire.artifact_uri,
      lifecycleStage: wire.lifecycle_stage,
      ...(wire.status === "RUNNING" || wire.status === "SCHEDULED"
        ? { status: wire.status, endTime: undefined }
        : { status: wire.status, endTime: wire.end_time ?? wire.start_time }),
    }),
  );

const datasetInput = z
  .object({
    tags: entries,
    dataset: z.object({
      name: z.string(),
      digest: z.string(),
      source_type: text,
      source: text,
      schema: z.string().optional(),
      profile: z.string().optional(),
    }),
  })
  .transform(({ tags, dataset }): DatasetInput => {
    const { name, digest, source_type, source, schema, profile } = dataset;
    return {
      tags,
      dataset: {
        ...{ name, digest, sourceType: source_type, source },
        ...(schema === undefined ? {} : { schema }),
        ...(profile === undefined ? {} : { profile }),
      },
    };
  });

const modelId = z.object({ model_id: z.string() });

export const runAnswer = z
  .object({
    info: runInfo,
    data: z
      .object({ metrics: z.array(metricAnswer).default([]), params: entries, tags: entries })
      .default({ metrics: [], params: [], tags: [] }),
    inputs: z
      .object({ dataset_inputs: z.array(datasetInput).default([]), model_inputs: z.array(modelId).default([]) })
      .default({ dataset_inputs: [], model_inputs: [] }),
    outputs: z
      .object({ model_outputs: z.array(modelId.extend({ step: int.default(0) })).default([]) })
      .default({ model_outputs: [] }),
  })
  .transform(
    ({ info, data, inputs, outputs }): Run => ({
      info,
      // Sorted by key, as every store of ours gives them.
      data: { metrics: data.metrics.sort(byKey), params: data.params.sort(byKey), tags: data.tags.sort(byKey) },
      inputs: {
        datasets: inputs.dataset_inputs,
        modelIds: inputs.model_inputs.map(({ model_id }) => model_id),
      },
      outputs: outputs.model_outputs.map(({ model_id, step }) => ({ modelId: model_id, step })),
    }),
  );

function byKey(a: { readonly key: string }, b: { readonly key: string }): number {
  return a.key < b.key ? -1 : Number(a.key > b.key);
}

export const fileAnswer = z
  .object({ path: z.string(), is_dir: z.boolean().default(false), file_size: int.optional() })
  .transform(({ path, is_dir, file_size }): FileInfo => ({ path, isDir: is_dir, fileSize: file_size }));

export const loggedModelAnswer = z
  .object({
    info: z.object({
      model_id: z.string(),
      experiment_id: z.string(),
      name: text,
      creation_timestamp_ms: int.default(0),
      last_updated_timestamp_ms: int.default(0),
      artifact_uri: text,
      status: z.enum(loggedModelStatuses),
      model_type: text,
      source_run_id: text,
      tags: entries,
    }),
    data: z
      .object({ params: entries, metrics: z.array(metricAnswer).default([]) })
      .default({ params: [], metrics: [] }),
  })
  .transform(
    ({ info, data }): LoggedModel => ({
      modelId: info.model_id,
      experimentId: info.experiment_id,
      name: info.name,
      creationTime: info.creation_timestamp_ms,
      lastUpdateTime: info.last_updated_timestamp_ms,
      artifactUri: info.artifact_uri,
      status: info.status,
      modelType: info.model_type,
      sourceRunId: info.source_run_id,
      // A server does not tell; models that are deleted are not found.
      lifecycleStage: "active",
      params: data.params.sort(byKey),
      tags: info.tags.sort(byKey),
      metrics: data.metrics,
    }),
  );

const version = z.union([z.string(), z.number().transform(String)]);

export const modelVersionAnswer = z
  .object({
    name: z.string(),
    version,
    creation_timestamp: int.default(0),
    last_updated_timestamp: int.default(0),
    current_stage: z.enum(modelStages).default("None"),
    description: text,
    source: text,
    run_id: text,
    run_link: text,
    model_id: text,
    tags: entries,
    aliases: z.array(z.string()).default([]),
  })
  .transform(
    (wire): ModelVersion => ({
      name: wire.name,
      version: wire.version,
      creationTime: wire.creation_timestamp,
      lastUpdateTime: wire.last_updated_timestamp,
      description: wire.description,
      stage: wire.current_stage,
      source: wire.source,
      runId: wire.run_id,
      runLink: wire.run_link,
      modelId: wire.model_id,
      tags: wire.tags.sort(byKey),
      aliases: wire.aliases.sort(),
    }),
  );

export const registeredModelAnswer = z
  .object({
    name: z.string(),
    creation_timestamp: int.default(0),
    last_updated_timestamp: int.default(0),
    description: text,
    tags: entries,
    aliases: z.array(z.object({ alias: z.string(), version })).default([]),
    latest_versions: z.array(modelVersionAnswer).default([]),
  })
  .transform(
    (wire): RegisteredModel => ({
      name: wire.name,
      creationTime: wire.creation_timestamp,
      lastUpdateTime: wire.last_updated_timestamp,
      description: wire.description,
      tags: wire.tags.sort(byKey),
      aliases: wire.aliases.sort((a, b) => (a.alias < b.alias ? -1 : 1)),
      latestVersions: wire.latest_versions,
    }),
  );
