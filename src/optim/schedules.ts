import { PipelineError } from "../base/errors.ts";

/** Factor on the peak learning rate at a step, counted from 0. */
export type Schedule = (step: number) => number;

export const constantSchedule: Schedule = () => 1;

/** Times `gamma` every `everySteps` steps (PyTorch's StepLR). */
export const stepSchedule =
  ({ everySteps, gamma }: { readonly everySteps: number; readonly gamma: number }): Schedule =>
  (step) =>
    gamma ** Math.floor(step / positive("everySteps", everySteps));

export interface CosineOptions {
  readonly totalSteps: number;
  /** Value at the end. */
  readonly final?: number;
}

/** Half a cosine from 1 to `final` (Loshchilov and Hutter 2017; PyTorch's CosineAnnealingLR), flat afterwards. */
export const cosineSchedule =
  ({ totalSteps, final = 0 }: CosineOptions): Schedule =>
  (step) =>
    final +
    ((1 - final) * (1 + Math.cos((Math.PI * Math.min(step, totalSteps)) / positive("totalSteps", totalSteps)))) / 2;

export interface OneCycleOptions {
  readonly totalSteps: number;
  /** Share of the steps that rises. */
  readonly rise?: number;
  /** Value at the first step. */
  readonly initial?: number;
  /** Value at the last step. */
  readonly final?: number;
  readonly anneal?: "linear" | "cosine";
}

/**
 * One rise and one fall (Smith and Topin 2018), at the same steps as PyTorch's OneCycleLR; its div_factor is
 * 1 / initial, its final_div_factor initial / final.
 */
export function oneCycleSchedule(options: OneCycleOptions): Schedule {
  const { totalSteps, rise = 0.3, initial = 1 / 25, final = initial / 1e4, anneal = "cosine" } = options;
  positive("totalSteps", totalSteps);
  const peak = rise * totalSteps - 1;
  const last = totalSteps - 1;
  const blend = (from: number, to: number, share: number): number =>
    anneal === "linear" ? from + (to - from) * share : to + ((from - to) * (1 + Math.cos(Math.PI * share))) / 2;
  return (step) => {
    const at = Math.min(step, last);
    if (peak > 0 && at <= peak) return blend(initial, 1, at / peak);
    if (last <= Math.max(peak, 0)) return 1;
    return blend(1, final, (at - Math.max(peak, 0)) / (last - Math.max(peak, 0)));
  };
}

export interface TriangleOptions {
  readonly totalSteps: number;
  /** Share of the steps that rises. */
  readonly rise: number;
  readonly initial: number;
  readonly final: number;
}

/** Straight lines initial -> 1 -> final, as airbench94: `final` is reached one step after the last. */
export function triangleSchedule({ totalSteps, rise, initial, final }: TriangleOptions): Schedule {
  positive("totalSteps", totalSteps);
  const peak = Math.floor(rise * totalSteps);
  return (step) => {
    if (step < peak) return initial + ((1 - initial) * step) / peak;
    if (peak >= totalSteps) return 1;
    return 1 + ((final - 1) * (Math.min(step, totalSteps) - peak)) / (totalSteps - peak);
  };
}

/** 1 -> 0 over `totalSteps`, 0 afterwards. */
export const linearToZero =
  (totalSteps: number): Schedule =>
  (step) =>
    totalSteps <= 0 ? 0 : Math.max(0, 1 - step / totalSteps);

/** `schedule` for the first `steps` steps, then 0. */
export const untilStep =
  (steps: number, schedule: Schedule): Schedule =>
  (step) =>
    step < steps ? schedule(step) : 0;

export interface WarmupOptions {
  readonly steps: number;
  /** Value at the first step. */
  readonly initial?: number;
}

/** A straight rise from `initial` to 1, then `after` from its beginning (PyTorch's SequentialLR of LinearLR and it). */
export const withWarmup =
  (after: Schedule, { steps, initial = 0 }: WarmupOptions): Schedule =>
  (step) =>
    step < steps ? initial + ((1 - initial) * step) / steps : after(step - steps);

function positive(name: string, value: number): number {
  if (!(value > 0)) throw new PipelineError("INVALID_ARGUMENT", `schedule: ${name} must be positive, got ${value}`);
  return value;
}
