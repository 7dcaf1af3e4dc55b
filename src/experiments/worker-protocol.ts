import type { TransferredError } from "../base/error-transfer.ts";
import type { ExperimentEvent, TrainingOutcome } from "./events.ts";

/** What the training thread and its owner say to each other; it starts with a TrainingRequest. */
export type TrainingCommand = { readonly type: "abort" };

export type TrainingReply =
  | { readonly type: "event"; readonly event: ExperimentEvent }
  | { readonly type: "finished"; readonly outcome: TrainingOutcome }
  | { readonly type: "failed"; readonly error: TransferredError };
