import type { Batch } from "./store.ts";
import type { Metric } from "./types.ts";

/** The last step that a run has of each metric. */
export type LoggedSteps = Readonly<Record<string, number>>;

/** @param metrics the latest of each key, as a run's data has them */
export function loggedStepsOf(metrics: readonly Metric[]): LoggedSteps {
  return Object.fromEntries(metrics.map(({ key, step }) => [key, step]));
}

/**
 * What a resumed run does again, from its last checkpoint to where it was killed, it has recorded already: the steps are
 * the same to the bit, only their time is another.
 */
export function withoutLogged(batch: Batch, logged: LoggedSteps): Batch {
  if (batch.metrics === undefined) return batch;
  return {
    ...batch,
    metrics: batch.metrics.filter(({ key, step }) => step > (logged[key] ?? Number.NEGATIVE_INFINITY)),
  };
}
