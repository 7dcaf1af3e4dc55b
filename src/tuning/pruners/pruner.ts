import type { Study } from "../study.ts";
import type { Trial } from "../trial.ts";

export interface Promotion {
  readonly trial: number;
  /** The step at which it halts next. */
  readonly until: number;
}

/** Decides which trials are worth going on with, from the state of the study alone. */
export interface Pruner {
  /** The step at which a new trial halts of itself. */
  firstHalt(study: Study, trialNumber: number): number;
  /** Asked after each report of a running trial. */
  decide(study: Study, trial: Trial): "continue" | "prune";
  /** A paused trial that deserves to go on. */
  promote(study: Study): Promotion | undefined;
}

/** Every trial runs to its end. */
export const noPruner: Pruner = {
  firstHalt: ({ maxSteps }) => maxSteps,
  decide: () => "continue",
  promote: () => undefined,
};
