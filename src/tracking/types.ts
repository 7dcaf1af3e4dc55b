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
}

export interface Param {
  readonly key: string;
  readonly value: string;
}

export interface Tag {
  readonly key: string;
  readonly value: string;
}

export interface Run {
  readonly info: RunInfo;
  readonly data: {
    /** The latest value of each metric: largest step, then timestamp, then value. */
    readonly metrics: readonly Metric[];
    readonly params: readonly Param[];
    readonly tags: readonly Tag[];
  };
}

export interface FileInfo {
  /** Relative to the artifact root of the run, with "/" between folders. */
  readonly path: string;
  readonly isDir: boolean;
  /** Bytes; undefined for a folder. */
  readonly fileSize: number | undefined;
}

/** MLflow's limits. Lengths in characters. */
export const trackingLimits = {
  metricsPerBatch: 1000,
  paramsPerBatch: 100,
  tagsPerBatch: 100,
  entitiesPerBatch: 1000,
  keyLength: 250,
  paramValueLength: 6000,
  tagValueLength: 8000,
  experimentNameLength: 500,
  runNameLength: 8000,
  searchResults: 50_000,
} as const;
