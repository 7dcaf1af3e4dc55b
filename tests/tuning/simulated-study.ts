import { createRng } from "../../src/base/rng.ts";
import type { Sampler } from "../../src/tuning/samplers/sampler.ts";
import type { Params, Space } from "../../src/tuning/space.ts";
import type { Study } from "../../src/tuning/study.ts";
import type { Report, Trial, TrialStatus } from "../../src/tuning/trial.ts";

export interface SimulatedTrial {
  readonly number: number;
  readonly params?: Params;
  readonly status: TrialStatus;
  readonly reports?: readonly Report[];
  readonly until?: number;
}

export function trialOf({ number, params = {}, status, reports = [], until }: SimulatedTrial): Trial {
  return {
    ...{ number, params, status, reports, until },
    ...{ flops: 0, attempts: 1, losses: 0, milliseconds: 0, createdAt: 0 },
    ...{ handle: undefined, stopping: undefined, reason: undefined, error: undefined, runId: undefined },
    ...{ trackingRunId: undefined, bundle: undefined, startedAt: undefined, endedAt: undefined },
  };
}

export function studyOf(
  trials: readonly Trial[],
  {
    direction = "minimize",
    maxSteps = 27,
    space,
  }: Partial<Pick<Study, "direction" | "maxSteps">> & { space?: Space } = {},
): Study {
  return {
    ...{ studyId: "s", metric: "m", direction, sampler: "", pruner: "", maxSteps, createdAt: 0, trials },
    space: space ?? { dimensions: {} },
    ...{ parentRunId: undefined, milliseconds: 0, lastEventAt: 0, finished: undefined },
  };
}

/** Best value so far after each trial of a search for the minimum of a function. */
export function minimise(
  objective: (params: Params) => number,
  { space, sampler, trials: count, seed }: { space: Space; sampler: Sampler; trials: number; seed: number },
): readonly number[] {
  const trials: Trial[] = [];
  const best: number[] = [];
  for (let number = 0; number < count; number++) {
    const rng = createRng(seed).split("trial").split(number);
    const params = sampler.sample({ space, trials, direction: "minimize", rng })!;
    const value = objective(params);
    trials.push(trialOf({ number, params, status: "complete", reports: [{ step: 1, value }] }));
    best.push(Math.min(value, best.at(-1) ?? Number.POSITIVE_INFINITY));
  }
  return best;
}

export function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return 0.5 * (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!);
}
