import { PipelineError } from "../base/errors.ts";
import type { ClassificationMetrics } from "./metrics.ts";

export type Monitor = "accuracy" | "loss";

/** The best epoch so far and how long ago it was: part of a checkpoint. */
export interface BestSoFar {
  /** Epoch counted from 1; 0 before the first. */
  readonly epoch: number;
  readonly value?: number | undefined;
  readonly epochsSince: number;
}

export const nothingYet: BestSoFar = { epoch: 0, epochsSince: 0 };

/** Takes an epoch's validation metrics into account; a metric that is not a number never counts as better. */
export function observe(
  best: BestSoFar,
  metrics: ClassificationMetrics,
  { epoch, monitor }: { readonly epoch: number; readonly monitor: Monitor },
): BestSoFar {
  const value = metrics[monitor];
  const better =
    !Number.isNaN(value) &&
    (best.value === undefined || (monitor === "loss" ? value < best.value : value > best.value));
  return better ? { epoch, value, epochsSince: 0 } : { ...best, epochsSince: best.epochsSince + 1 };
}

export interface EarlyStopping {
  readonly patience: number;
}

/** True when the best epoch is `patience` epochs ago. */
export function isExhausted(best: BestSoFar, { patience }: EarlyStopping): boolean {
  if (!(Number.isInteger(patience) && patience >= 1)) {
    throw new PipelineError("INVALID_ARGUMENT", `early stopping: patience must be at least 1 epoch, got ${patience}`);
  }
  return best.epochsSince >= patience;
}
