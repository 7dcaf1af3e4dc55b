/** The words of MLflow (https://mlflow.org/docs/latest/rest-api.html): experiments hold runs, runs hold the rest. */

export type LifecycleStage = "active" | "deleted";

export interface Experiment {
  readonly experimentId: string;
  readonly name: string;
  /** URI below which the artifacts of its runs lie. */
  readonly artifactLocation: string;
  readonly lifecycleStage: LifecycleStage;
  /** Milliseconds since 1970. */
  readonly creationTime: number;
  readonly lastUpdateTime: number;
  readonly tags: readonly Tag[];
}

export const runStatuses = ["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"] as const;
export type RunStatus = (typeof runStatuses)[number];
export type TerminalStatus = Exclude<RunStatus, "RUNNING" | "SCHEDULED">;

/** A run has an end if and only if it is over. Times in milliseconds since 1970. */
export type RunState =
  | { readonly status: "RUNNING" | "SCHEDULED"; readonly endTime: undefined }
  | { readonly status: TerminalStatus; readonly endTime: number };

export type RunInfo = RunState & {
  /** 32 hexadecimal digits. */
  readonly runId: string;
  readonly runName: string;
  readonly experimentId: string;
  readonly userId: string;
  readonly startTime: number;
  /** "mlflow-artifacts:/EXPERIMENT/RUN/artifacts" unless the experiment has a location of its own. */
  readonly artifactUri: string;
  readonly lifecycleStage: LifecycleStage;
};

export interface Metric {
  readonly key: string;
  /** May be NaN. Infinities are kept as the largest finite number, as MLflow's SQL store does. */
  readonly value: number;
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  readonly step: number;
  /** Logged model that the metric also belongs to, and the dataset that it was measured on. */
  readonly modelId?: string;
  readonly datasetName?: string;
  readonly datasetDigest?: string;
  /** The run that logged the metric of a logged model. */
  readonly runId?: string;
}

export interface Param {
  readonly key: string;
  readonly value: string;
}

export interface Tag {
  readonly key: string;
  readonly value: string;
}

export interface Dataset {
  readonly name: string;
  readonly digest: string;
  readonly sourceType: string;
  readonly source: string;
  readonly schema?: string;
  readonly profile?: string;
}

/** A dataset with what it was used for: the tag mlflow.data.context. */
export interface DatasetInput {
  readonly dataset: Dataset;
  readonly tags: readonly Tag[];
}

export interface DatasetSummary {
  readonly experimentId: string;
  readonly name: string;
  readonly digest: string;
  readonly context: string | undefined;
}

export interface ModelOutput {
  readonly modelId: string;
  readonly step: number;
}

export interface Run {
  readonly info: RunInfo;
  readonly data: {
    /** The latest value of each metric: largest step, then timestamp, then value. */
    readonly metrics: readonly Metric[];
    readonly params: readonly Param[];
    readonly tags: readonly Tag[];
  };
  readonly inputs: {
    readonly datasets: readonly DatasetInput[];
    readonly modelIds: readonly string[];
  };
  readonly outputs: readonly ModelOutput[];
}

/** Smallest and largest value that a metric of a run ever had, NaN apart. */
export interface MetricRange {
  readonly runId: string;
  readonly key: string;
  readonly min: number;
  readonly max: number;
}

export interface FileInfo {
  /** Relative to the artifact root of the run, with "/" between folders. */
  readonly path: string;
  readonly isDir: boolean;
  /** Bytes; undefined for a folder. */
  readonly fileSize: number | undefined;
}

export const loggedModelStatuses = [
  "LOGGED_MODEL_PENDING",
  "LOGGED_MODEL_READY",
  "LOGGED_MODEL_UPLOAD_FAILED",
] as const;
export type LoggedModelStatus = (typeof loggedModelStatuses)[number];

export interface LoggedModel {
  /** "m-" and 32 hexadecimal digits. */
  readonly modelId: string;
  readonly experimentId: string;
  readonly name: string;
  readonly creationTime: number;
  readonly lastUpdateTime: number;
  readonly artifactUri: string;
  readonly status: LoggedModelStatus;
  readonly modelType: string;
  readonly sourceRunId: string;
  readonly lifecycleStage: LifecycleStage;
  readonly params: readonly Param[];
  readonly tags: readonly Tag[];
  readonly metrics: readonly Metric[];
}

/** MLflow's limits. Lengths in characters. */
export const trackingLimits = {
  metricsPerBatch: 1000,
  paramsPerBatch: 100,
  tagsPerBatch: 100,
  entitiesPerBatch: 1000,
  /** What a batch may weigh as JSON, as MLflow documents it; our client keeps to it. */
  bytesPerBatch: 1_000_000,
  keyLength: 250,
  paramValueLength: 6000,
  tagValueLength: 8000,
  experimentNameLength: 500,
  experimentTagValueLength: 20_000,
  runNameLength: 8000,
  searchResults: 50_000,
  /** Of one search; databases bound the depth of an expression and the number of its parameters. */
  searchConditions: 500,
  searchListValues: 10_000,
  searchOrders: 100,
  searchExperiments: 10_000,
  datasetsPerBatch: 1000,
  datasetNameLength: 500,
  datasetDigestLength: 36,
  datasetSchemaLength: 1_048_575,
  datasetSourceLength: 65_535,
  datasetProfileLength: 16_777_215,
  inputTagKeyLength: 255,
  inputTagValueLength: 500,
  registryTagValueLength: 100_000,
  aliasLength: 255,
  registeredModelResults: 1000,
  modelVersionResults: 200_000,
} as const;
