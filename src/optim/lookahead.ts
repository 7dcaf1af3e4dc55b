import type { Value } from "../graph/value.ts";
import { blendInto } from "./ema.ts";

export interface LookaheadOptions {
  readonly totalSteps: number;
  readonly stepsPerEpoch: number;
  /** First epoch, counted from 0, in which the slow weights lag behind. */
  readonly startEpoch?: number;
  readonly everySteps?: number;
  readonly decayBase?: number;
  readonly decayPower?: number;
}

export interface LookaheadFactors {
  /** Share of the fast weights that moves into the slow ones. */
  readonly blend: number;
  /** 1 where the slow weights are copied back to the fast ones, else 0. */
  readonly sync: number;
}

/**
 * Lookahead (Zhang et al. 2019) as airbench94 uses it: every few steps the slow weights become
 * d * slow + (1 - d) * fast with d = decayBase^everySteps * (t / T)^decayPower and are copied back; also copied back
 * at the end of each epoch. Before `startEpoch` the slow weights follow the fast ones, so they are always the ones to
 * evaluate.
 * @param step counted from 0
 */
export function lookaheadFactors(step: number, options: LookaheadOptions): LookaheadFactors {
  const { totalSteps, stepsPerEpoch, startEpoch = 3, everySteps = 5, decayBase = 0.95, decayPower = 3 } = options;
  const done = step + 1;
  const firstSync = (Math.floor((startEpoch * stepsPerEpoch) / everySteps) + 1) * everySteps;
  if (done <= firstSync) return { blend: 1, sync: 0 };
  if (done % everySteps === 0) {
    return { blend: 1 - decayBase ** everySteps * (done / totalSteps) ** decayPower, sync: 1 };
  }
  return { blend: 0, sync: done % stepsPerEpoch === 0 || done === totalSteps ? 1 : 0 };
}

/** Next slow and fast weights from the factors as scalars: one graph for syncing and other steps. */
export function lookaheadUpdate(slow: Value, fast: Value, blend: Value, sync: Value): { slow: Value; fast: Value } {
  const nextSlow = blendInto(slow, fast, blend);
  return { slow: nextSlow, fast: blendInto(fast, nextSlow, sync) };
}
