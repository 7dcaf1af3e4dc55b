import { bestValue, compareValues } from "../trial.ts";
import type { Pruner } from "./pruner.ts";

export interface MedianOptions {
  /** No trial is stopped before so many are complete. */
  readonly startupTrials: number;
  /** Nor before this step. */
  readonly warmupSteps: number;
}

/**
 * The median stopping rule (Golovin et al., "Google Vizier", 2017) as Optuna has it: a trial is stopped whose best value
 * so far is worse than the median of what the complete trials had at the same step.
 */
export function medianStopping({ startupTrials, warmupSteps }: MedianOptions): Pruner {
  return {
    firstHalt: ({ maxSteps }) => maxSteps,
    promote: () => undefined,
    decide({ trials, direction }, trial) {
      const step = trial.reports.at(-1)?.step ?? 0;
      const complete = trials.filter(({ status }) => status === "complete");
      if (complete.length === 0 || complete.length < startupTrials || step < warmupSteps) return "continue";
      const values = complete.flatMap(({ reports }) => reports.find((report) => report.step === step)?.value ?? []);
      const best = bestValue(trial, direction);
      if (values.length === 0 || best === undefined) return "continue";
      return compareValues(direction, best, median(values)) > 0 ? "prune" : "continue";
    },
  };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : 0.5 * (sorted[middle - 1]! + sorted[middle]!);
}
