import type { Config } from "../config/schema.ts";
import type { Communicator } from "../distributed/communicator.ts";
import type { ExperimentEvent } from "./events.ts";

/** What a training needs to know; it can be sent to a thread. */
export interface TrainingRequest {
  readonly config: Config;
  /** The configuration as it is saved with the bundle. */
  readonly resolved: Readonly<Record<string, unknown>>;
  readonly runId: string;
  /** Where the checkpoints are. */
  readonly directory: string;
  readonly mode: "start" | "resume";
  /** Of the run that is resumed. */
  readonly datasetDigest?: string | undefined;
  /** Recorded in the bundle. */
  readonly trackingRunId?: string | undefined;
  readonly gitRevision?: string | undefined;
}

export interface TrainingContext {
  readonly signal: AbortSignal;
  readonly onEvent: (event: ExperimentEvent) => void;
  readonly now?: () => Date;
  /** The other processes of a distributed training. */
  readonly communicator?: Communicator | undefined;
  /** Of the engine, where the configuration leaves it open; default: one for each core. */
  readonly threads?: number | undefined;
}
