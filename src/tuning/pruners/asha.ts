import { PipelineError } from "../../base/errors.ts";
import type { Study } from "../study.ts";
import { compareValues, type Trial } from "../trial.ts";
import type { Pruner } from "./pruner.ts";

export interface AshaOptions {
  /** The first rung. */
  readonly gracePeriod: number;
  /** A rung is so many times as high as the one before it, and one in so many trials gets over it. */
  readonly reductionFactor: number;
  /**
   * stopping: a trial runs on while it is good enough beside those that were at its rung before it; promotion: it halts
   * at each rung until it is among the best of the rung.
   */
  readonly mode: "stopping" | "promotion";
  /** The trials that compete; default all. */
  readonly peers?: (trialNumber: number) => boolean;
}

/**
 * Asynchronous successive halving (Li et al., "A system for massively parallel hyperparameter tuning", 2020). The
 * stopping form is that of Ray's ASHAScheduler.
 */
export function asha(options: AshaOptions): Pruner {
  const { gracePeriod, reductionFactor, mode, peers = () => true } = options;
  if (!(gracePeriod >= 1 && reductionFactor > 1)) {
    throw new PipelineError("INVALID_ARGUMENT", `asha: grace period ${gracePeriod}, reduction ${reductionFactor}`, {
      remedy: "use a grace period of at least 1 and a reduction factor above 1",
    });
  }
  const competitors = (study: Study): readonly Trial[] => study.trials.filter(({ number }) => peers(number));
  if (mode === "stopping") {
    return {
      firstHalt: ({ maxSteps }) => maxSteps,
      promote: () => undefined,
      decide(study, trial) {
        const rung = rungJustReached(rungs(options, study.maxSteps), trial);
        if (rung === undefined) return "continue";
        const others = competitors(study)
          .filter(({ number }) => number !== trial.number)
          .flatMap((other) => valueAt(other, rung) ?? []);
        if (others.length === 0) return "continue";
        const { direction } = study;
        const cutoff = quantileFromBest(others, 1 / reductionFactor, (a, b) => compareValues(direction, a, b));
        return compareValues(direction, valueAt(trial, rung)!, cutoff) > 0 ? "prune" : "continue";
      },
    };
  }
  return {
    firstHalt: ({ maxSteps }) => rungs(options, maxSteps)[0] ?? maxSteps,
    decide: () => "continue",
    promote(study) {
      const { direction, maxSteps } = study;
      const levels = rungs(options, maxSteps);
      for (const [index, rung] of [...levels.entries()].reverse()) {
        const ranked = competitors(study)
          .flatMap((trial) => {
            const value = valueAt(trial, rung);
            return value === undefined ? [] : [{ trial, value }];
          })
          .sort((a, b) => compareValues(direction, a.value, b.value) || a.trial.number - b.trial.number);
        const best = ranked.slice(0, Math.floor(ranked.length / reductionFactor));
        const next = best.find(({ trial }) => trial.status === "paused" && trial.until === rung);
        if (next !== undefined) return { trial: next.trial.number, until: levels[index + 1] ?? maxSteps };
      }
      return undefined;
    },
  };
}

/** Steps at which trials are compared, below the last step. */
export function rungs(
  { gracePeriod, reductionFactor }: Pick<AshaOptions, "gracePeriod" | "reductionFactor">,
  maxSteps: number,
): readonly number[] {
  const levels: number[] = [];
  for (let level = gracePeriod; Math.round(level) < maxSteps; level *= reductionFactor) levels.push(Math.round(level));
  return [...new Set(levels)];
}

/** The value with which a trial came to a rung. */
function valueAt({ reports }: Trial, rung: number): number | undefined {
  return reports.find(({ step }) => step >= rung)?.value;
}

/** The highest rung that the last report is the first one at. */
function rungJustReached(levels: readonly number[], { reports }: Trial): number | undefined {
  const now = reports.at(-1)?.step ?? 0;
  const before = reports.at(-2)?.step ?? 0;
  return levels.findLast((rung) => before < rung && rung <= now);
}

/** Linear between the two nearest ranks, as numpy's percentile is. */
function quantileFromBest(values: readonly number[], share: number, compare: (a: number, b: number) => number): number {
  const sorted = [...values].sort(compare);
  const position = share * (sorted.length - 1);
  const below = Math.floor(position);
  const [first, second] = [sorted[below]!, sorted[below + 1] ?? sorted[below]!];
  return first + (position - below) * (second - first);
}
