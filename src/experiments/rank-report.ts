import type { TransferredError } from "../base/error-transfer.ts";
import type { ExperimentEvent, TrainingOutcome } from "./events.ts";

/** What a process of a distributed training tells the owner of the run. */
export type RankReport =
  | { readonly type: "event"; readonly event: ExperimentEvent }
  | { readonly type: "outcome"; readonly outcome: TrainingOutcome }
  | { readonly type: "failed"; readonly error: TransferredError };
