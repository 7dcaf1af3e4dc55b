import type { ModelVersion, RegisteredModel } from "../registry.ts";
import type { DatasetInput, Experiment, FileInfo, LoggedModel, Metric, Run, RunInfo } from "../types.ts";

/** Answers as MLflow gives them: protobuf messages in JSON, whole numbers as numbers, empty lists left out. */

/** JSON has no such numbers; protobuf writes them as text. */
export function toDouble(value: number): number | string {
  return Number.isFinite(value) ? value : String(value);
}

/** Undefined for nothing, which JSON leaves out. */
export function filled<T>(items: readonly T[]): readonly T[] | undefined {
  return items.length === 0 ? undefined : items;
}

export function wireExperiment(experiment: Experiment) {
  return {
    experiment_id: experiment.experimentId,
    name: experiment.name,
    artifact_location: experiment.artifactLocation,
    lifecycle_stage: experiment.lifecycleStage,
    last_update_time: experiment.lastUpdateTime,
    creation_time: experiment.creationTime,
    workspace: "default",
    tags: filled(experiment.tags),
  };
}

export function wireMetric(metric: Metric) {
  return {
    key: metric.key,
    value: toDouble(metric.value),
    timestamp: metric.timestamp,
    step: metric.step,
    dataset_name: metric.datasetName,
    dataset_digest: metric.datasetDigest,
    model_id: metric.modelId,
    run_id: metric.runId,
  };
}

export function wireRunInfo(info: RunInfo) {
  return {
    run_id: info.runId,
    run_uuid: info.runId,
    run_name: info.runName,
    experiment_id: info.experimentId,
    user_id: info.userId,
    status: info.status,
    start_time: info.startTime,
    end_time: info.endTime,
    artifact_uri: info.artifactUri,
    lifecycle_stage: info.lifecycleStage,
  };
}

export function wireRun({ info, data, inputs, outputs }: Run) {
  return {
    info: wireRunInfo(info),
    data: {
      metrics: filled(data.metrics.map(wireMetric)),
      params: filled(data.params),
      tags: filled(data.tags),
    },
    inputs: {
      dataset_inputs: filled(inputs.datasets.map(wireDatasetInput)),
      model_inputs: filled(inputs.modelIds.map((model_id) => ({ model_id }))),
    },
    outputs: { model_outputs: filled(outputs.map(({ modelId, step }) => ({ model_id: modelId, step }))) },
  };
}

export function wireDatasetInput({ dataset, tags }: DatasetInput) {
  const { name, digest, sourceType, source, schema, profile } = dataset;
  return { tags: filled(tags), dataset: { name, digest, source_type: sourceType, source, schema, profile } };
}

export function wireFile({ path, isDir, fileSize }: FileInfo) {
  return { path, is_dir: isDir, file_size: fileSize };
}

export function wireLoggedModel(model: LoggedModel) {
  return {
    info: {
      model_id: model.modelId,
      experiment_id: model.experimentId,
      name: model.name,
      creation_timestamp_ms: model.creationTime,
      last_updated_timestamp_ms: model.lastUpdateTime,
      artifact_uri: model.artifactUri,
      status: model.status,
      model_type: model.modelType,
      source_run_id: model.sourceRunId,
      tags: filled(model.tags),
    },
    data: { params: filled(model.params), metrics: filled(model.metrics.map(wireMetric)) },
  };
}

export function wireModelVersion(version: ModelVersion) {
  return {
    name: version.name,
    version: version.version,
    creation_timestamp: version.creationTime,
    last_updated_timestamp: version.lastUpdateTime,
    current_stage: version.stage,
    description: version.description,
    source: version.source,
    run_id: version.runId,
    status: "READY",
    run_link: version.runLink,
    model_id: version.modelId === "" ? undefined : version.modelId,
    tags: filled(version.tags),
    aliases: filled(version.aliases),
  };
}

export function wireRegisteredModel(model: RegisteredModel) {
  return {
    name: model.name,
    creation_timestamp: model.creationTime,
    last_updated_timestamp: model.lastUpdateTime,
    description: model.description === "" ? undefined : model.description,
    latest_versions: filled(model.latestVersions.map(wireModelVersion)),
    tags: filled(model.tags),
    aliases: filled(model.aliases),
  };
}
