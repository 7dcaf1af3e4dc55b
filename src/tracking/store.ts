import type { Page } from "./page.ts";
import type { ModelRegistry } from "./registry.ts";
import type {
  DatasetInput,
  DatasetSummary,
  Experiment,
  LifecycleStage,
  LoggedModel,
  LoggedModelStatus,
  Metric,
  ModelOutput,
  Param,
  Run,
  RunStatus,
  Tag,
} from "./types.ts";

/** Where runs are recorded unless something else is said. */
export const defaultStorePath = "runs/tracking.sqlite";

export type LifecycleView = LifecycleStage | "all";

export interface ExperimentInit {
  readonly artifactLocation?: string;
  readonly tags?: readonly Tag[];
}

export interface ExperimentSearch {
  /** In MLflow's grammar: name LIKE 'cifar%' AND tags.team = 'a'. */
  readonly filter?: string;
  readonly view?: LifecycleView;
  /** Such as "name DESC". Default: latest first. */
  readonly orderBy?: readonly string[];
  /** 1..50000; default 1000. */
  readonly maxResults?: number;
  readonly pageToken?: string;
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
  /** Milliseconds since 1970; default for a final status: now. A run that is not over has no end: ignored there. */
  readonly endTime?: number;
  readonly runName?: string;
}

export interface Batch {
  readonly metrics?: readonly Metric[];
  readonly params?: readonly Param[];
  readonly tags?: readonly Tag[];
}

export interface RunSearch {
  readonly experimentIds: readonly string[];
  /** In MLflow's grammar: metrics.acc > 0.9 AND params.model LIKE 'res%'. */
  readonly filter?: string;
  readonly view?: LifecycleView;
  /** Such as "metrics.acc DESC". Runs without the field come last both ways, NaN before them; ties: latest start. */
  readonly orderBy?: readonly string[];
  /** 1..50000; default 1000. */
  readonly maxResults?: number;
  /** From the page before. */
  readonly pageToken?: string;
}

export interface LoggedModelInit {
  readonly name?: string;
  readonly modelType?: string;
  readonly sourceRunId?: string;
  readonly params?: readonly Param[];
  readonly tags?: readonly Tag[];
}

export interface DatasetFilter {
  readonly name: string;
  readonly digest?: string;
}

export interface LoggedModelOrder {
  /** An attribute, or "metrics.KEY". */
  readonly field: string;
  readonly direction: "ascending" | "descending";
  readonly dataset?: DatasetFilter;
}

export interface LoggedModelSearch {
  readonly experimentIds: readonly string[];
  readonly filter?: string;
  readonly datasets?: readonly DatasetFilter[];
  readonly orderBy?: readonly LoggedModelOrder[];
  /** Default 50. */
  readonly maxResults?: number;
  readonly pageToken?: string;
}

/** What to read of a metric's history. */
export interface HistorySearch {
  readonly runIds: readonly string[];
  readonly key: string;
  /** At most so many points of each run, evenly chosen, the first and the last among them. */
  readonly maxResults: number;
  /** Both ends count. */
  readonly steps?: { readonly from: number; readonly to: number };
}

export interface ExperimentStore {
  /** @throws TRACKING_EXISTS when the name is taken */
  createExperiment(name: string, init?: ExperimentInit): Promise<Experiment>;
  getExperiment(experimentId: string): Promise<Experiment>;
  getExperimentByName(name: string): Promise<Experiment | undefined>;
  searchExperiments(search?: ExperimentSearch): Promise<Page<Experiment>>;
  /** @throws TRACKING_EXISTS when the name is taken */
  renameExperiment(experimentId: string, name: string): Promise<void>;
  /** Its runs are deleted, and restored, with it. */
  deleteExperiment(experimentId: string): Promise<void>;
  restoreExperiment(experimentId: string): Promise<void>;
  setExperimentTag(experimentId: string, tag: Tag): Promise<void>;
  deleteExperimentTag(experimentId: string, key: string): Promise<void>;
}

export interface RunStore {
  createRun(experimentId: string, init?: RunInit): Promise<Run>;
  getRun(runId: string): Promise<Run>;
  updateRun(runId: string, update: RunUpdate): Promise<Run>;
  deleteRun(runId: string): Promise<void>;
  restoreRun(runId: string): Promise<void>;
  searchRuns(search: RunSearch): Promise<Page<Run>>;

  /**
   * Writes all of the batch or nothing. Metrics are added (the same point twice is one point), params are written once
   * (the same value again is fine, another one is TRACKING_INVALID), tags are overwritten.
   */
  logBatch(runId: string, batch: Batch): Promise<void>;
  setTag(runId: string, tag: Tag): Promise<void>;
  deleteTag(runId: string, key: string): Promise<void>;
  /** A dataset that a run has already is not added twice. */
  logInputs(
    runId: string,
    inputs: { readonly datasets?: readonly DatasetInput[]; readonly modelIds?: readonly string[] },
  ): Promise<void>;
  logOutputs(runId: string, models: readonly ModelOutput[]): Promise<void>;

  /** Points of a metric in the order of timestamp, step and value; none for an unknown key. */
  getMetricHistory(
    runId: string,
    key: string,
    page?: { readonly maxResults?: number; readonly pageToken?: string },
  ): Promise<Page<Metric>>;
  /** Points of several runs, with their runId, by run and then by step. */
  sampleMetricHistory(search: HistorySearch): Promise<readonly (Metric & { readonly runId: string })[]>;
  searchDatasets(experimentIds: readonly string[]): Promise<readonly DatasetSummary[]>;
}

/** Models that runs have logged, before anybody registers them. */
export interface LoggedModelStore {
  createLoggedModel(experimentId: string, init?: LoggedModelInit): Promise<LoggedModel>;
  getLoggedModel(modelId: string, options?: { readonly view?: LifecycleView }): Promise<LoggedModel>;
  finalizeLoggedModel(modelId: string, status: LoggedModelStatus): Promise<LoggedModel>;
  deleteLoggedModel(modelId: string): Promise<void>;
  setLoggedModelTags(modelId: string, tags: readonly Tag[]): Promise<void>;
  deleteLoggedModelTag(modelId: string, key: string): Promise<void>;
  logLoggedModelParams(modelId: string, params: readonly Param[]): Promise<void>;
  searchLoggedModels(search: LoggedModelSearch): Promise<Page<LoggedModel>>;
}

/**
 * Keeps experiments, runs, models. What a method has acknowledged survives the death of the process.
 *
 * Any number of processes may write at the same time: each call is one transaction, whole or not at all, and a write that
 * finds the store taken waits for at most ten seconds. Nothing is written to a deleted run; whether it has ended makes no
 * difference. Every method rejects with TRACKING_INVALID for a value that breaks a rule or limit, TRACKING_NOT_FOUND for
 * what is not there, STORAGE_FAILED on a full disk, TRACKING_STORE_FAILED when the store itself fails. A new store has the
 * experiment 0, "Default".
 */
export interface TrackingStore extends ExperimentStore, RunStore, LoggedModelStore, ModelRegistry, AsyncDisposable {
  close(): Promise<void>;
}
