import { type AshaOptions, asha, rungs } from "./asha.ts";
import type { Pruner } from "./pruner.ts";

export type HyperbandOptions = Omit<AshaOptions, "peers">;

/**
 * Hyperband (Li et al. 2017) in its asynchronous form: trials are dealt out to brackets of successive halving that
 * differ in their first rung, so that neither slow starters nor quick judgement are lost. A bracket gets as many trials
 * as in the paper in proportion: ceil((s + 1) factor^r / (r + 1)) for r rungs out of s.
 */
export function hyperband(options: HyperbandOptions): Pruner {
  const brackets = new Map<number, { readonly count: number; readonly pruners: readonly Pruner[] }>();
  const prepare = (maxSteps: number) => {
    const known = brackets.get(maxSteps);
    if (known !== undefined) return known;
    const levels = rungs(options, maxSteps);
    const count = levels.length + 1;
    const bracketAt = (trialNumber: number): number => bracketOf(trialNumber, count, options.reductionFactor);
    const pruners = Array.from({ length: count }, (_, index) =>
      asha({ ...options, gracePeriod: levels[index] ?? maxSteps, peers: (number) => bracketAt(number) === index }),
    );
    const prepared = { count, pruners };
    brackets.set(maxSteps, prepared);
    return prepared;
  };
  const prunerFor = (maxSteps: number, trialNumber: number): Pruner => {
    const { count, pruners } = prepare(maxSteps);
    return pruners[bracketOf(trialNumber, count, options.reductionFactor)]!;
  };
  return {
    firstHalt: (study, number) => prunerFor(study.maxSteps, number).firstHalt(study, number),
    decide: (study, trial) => prunerFor(study.maxSteps, trial.number).decide(study, trial),
    promote(study) {
      for (const pruner of prepare(study.maxSteps).pruners) {
        const promotion = pruner.promote(study);
        if (promotion !== undefined) return promotion;
      }
      return undefined;
    },
  };
}

/** Which bracket a trial belongs to; 0 has the most rungs. Multiples of the golden ratio spread any run of numbers evenly. */
export function bracketOf(trialNumber: number, count: number, reductionFactor: number): number {
  const sizes = Array.from({ length: count }, (_, index) => {
    const rungCount = count - 1 - index;
    return Math.ceil((count * reductionFactor ** rungCount) / (rungCount + 1));
  });
  const total = sizes.reduce((sum, size) => sum + size, 0);
  let share = ((trialNumber * 0.618_033_988_749_894_9) % 1) * total;
  const index = sizes.findIndex((size) => {
    share -= size;
    return share < 0;
  });
  return index < 0 ? count - 1 : index;
}
