import type { Experiment, LifecycleStage, Metric, Param, Run, RunStatus, Tag } from "./types.ts";

export interface ExperimentInit {
  readonly artifactLocation?: string;
  readonly tags?: readonly Tag[];
}

export interface RunInit {
  /** Default: "run-" and the first digits of the id. Also readable as the tag mlflow.runName. */
  readonly runName?: string;
  readonly userId?: string;
  /** Milliseconds since 1970; default: now. */
  readonly startTime?: number;
  readonly tags?: readonly Tag[];
}

export interface RunUpdate {
  readonly status?: RunStatus;
  /** Milliseconds since 1970; default for a final status: now. Only together with or after a final status. */
  readonly endTime?: number;
  readonly runName?: string;
}

export interface Batch {
  readonly metrics?: readonly Metric[];
  readonly params?: readonly Param[];
  readonly tags?: readonly Tag[];
}

export type LifecycleView = LifecycleStage | "all";

export type RunAttribute = "run_id" | "run_name" | "status" | "user_id" | "start_time" | "end_time" | "artifact_uri";

/** What a condition or an order looks at. */
export type RunField =
  | { readonly entity: "metric" | "param" | "tag"; readonly key: string }
  | { readonly entity: "attribute"; readonly key: RunAttribute };

/**
 * One comparison; a filter is a list of them, all of which must hold. A run without the metric, param or tag matches no
 * comparison, a metric that is NaN matches none either. like and ilike know the wildcards % and _.
 */
export type RunCondition = RunField &
  (
    | { readonly comparator: "=" | "!=" | "<" | "<=" | ">" | ">="; readonly value: string | number }
    | { readonly comparator: "like" | "ilike"; readonly value: string }
    | { readonly comparator: "in" | "not in"; readonly value: readonly string[] }
  );

/** Runs without the field come last in both directions; NaN before them. */
export type RunOrder = RunField & { readonly direction: "ascending" | "descending" };

export interface RunSearch {
  readonly experimentIds: readonly string[];
  readonly filter?: readonly RunCondition[];
  readonly view?: LifecycleView;
  /** Ties: latest start first, then run id. */
  readonly orderBy?: readonly RunOrder[];
  /** 1..50000; default 1000. */
  readonly maxResults?: number;
  /** From the page before. */
  readonly pageToken?: string;
}

export interface RunPage {
  readonly runs: readonly Run[];
  readonly nextPageToken: string | undefined;
}

/**
 * Keeps experiments and runs. What a method has acknowledged survives the death of the process.
 * Every method rejects with TRACKING_INVALID for a value that breaks a rule or limit, TRACKING_NOT_FOUND for a missing
 * experiment or run, TRACKING_STORE_FAILED when the store itself fails. A new store has the experiment 0, "Default".
 */
export interface TrackingStore extends AsyncDisposable {
  /** @throws TRACKING_EXISTS when the name is taken */
  createExperiment(name: string, init?: ExperimentInit): Promise<Experiment>;
  getExperiment(experimentId: string): Promise<Experiment>;
  getExperimentByName(name: string): Promise<Experiment | undefined>;
  /** Latest first. */
  listExperiments(options?: { readonly view?: LifecycleView }): Promise<readonly Experiment[]>;

  createRun(experimentId: string, init?: RunInit): Promise<Run>;
  getRun(runId: string): Promise<Run>;
  updateRun(runId: string, update: RunUpdate): Promise<Run>;
  deleteRun(runId: string): Promise<void>;
  restoreRun(runId: string): Promise<void>;
  searchRuns(search: RunSearch): Promise<RunPage>;

  /**
   * Writes all of the batch or nothing. Metrics are added (the same point twice is one point), params are written once
   * (the same value again is fine, another one is TRACKING_INVALID), tags are overwritten.
   */
  logBatch(runId: string, batch: Batch): Promise<void>;
  setTag(runId: string, tag: Tag): Promise<void>;
  deleteTag(runId: string, key: string): Promise<void>;
  /** Every point of a metric in the order of timestamp, step and value; none for an unknown key. */
  getMetricHistory(runId: string, key: string): Promise<readonly Metric[]>;

  close(): Promise<void>;
}
