import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { asha, rungs } from "../../src/tuning/pruners/asha.ts";
import { bracketOf, hyperband } from "../../src/tuning/pruners/hyperband.ts";
import { medianStopping } from "../../src/tuning/pruners/median.ts";
import type { Report, Trial } from "../../src/tuning/trial.ts";
import { optunaGolden } from "./optuna-golden.ts";
import { studyOf, trialOf } from "./simulated-study.ts";

/** What scripts/goldens/ray_asha.py wrote. */
const rayGolden = JSON.parse(readFileSync(new URL("../goldens/ray-asha.json", import.meta.url), "utf8")) as {
  readonly curves: readonly (readonly number[])[];
  readonly cases: readonly {
    readonly mode: "max" | "min";
    readonly gracePeriod: number;
    readonly reductionFactor: number;
    /** Trial, step, whether Ray stopped it. */
    readonly decisions: readonly (readonly [number, number, 0 | 1])[];
  }[];
};

const running = (number: number, ...values: readonly number[]): Trial =>
  trialOf({ number, status: "running", reports: values.map((value, i) => ({ step: i + 1, value })) });

describe("asha, stopping", () => {
  const pruner = asha({ gracePeriod: 1, reductionFactor: 3, mode: "stopping" });

  it("has rungs at the grace period times powers of the factor, below the last step", () => {
    expect(rungs({ gracePeriod: 1, reductionFactor: 3 }, 27)).toEqual([1, 3, 9]);
    expect(rungs({ gracePeriod: 2, reductionFactor: 4 }, 100)).toEqual([2, 8, 32]);
    expect(rungs({ gracePeriod: 1, reductionFactor: 1.2 }, 3)).toEqual([1, 2]);
    expect(rungs({ gracePeriod: 5, reductionFactor: 3 }, 5)).toEqual([]);
  });

  it("lets the first one at a rung go on, whatever its value", () => {
    const trial = running(0, 100);
    expect(pruner.decide(studyOf([trial]), trial)).toBe("continue");
  });

  it("stops what is below the best third of those before it, as Ray's scheduler does", () => {
    const others = [1, 2, 3, 4].map((value, number) => running(number, value));
    // The cutoff between the values 1 2 3 4 is at a third of the way from the best to the worst: 2.
    for (const [value, decision] of [
      [1.9, "continue"],
      [2, "continue"],
      [2.1, "prune"],
    ] as const) {
      const trial = running(4, value);
      expect(pruner.decide(studyOf([...others, trial]), trial)).toBe(decision);
    }
  });

  it("decides as Ray Tune's ASHAScheduler does on recorded curves, four trials at a time", () => {
    const { curves, cases } = rayGolden;
    let stops = 0;
    for (const { mode, gracePeriod, reductionFactor, decisions } of cases) {
      const sameAsRay = asha({ gracePeriod, reductionFactor, mode: "stopping" });
      const direction = mode === "max" ? "maximize" : "minimize";
      const sign = mode === "max" ? 1 : -1;
      const trials = curves.map((_, number) => trialOf({ number, status: "waiting" }));
      for (const [number, step, stopped] of decisions) {
        const reports = curves[number]!.slice(0, step).map((value, i) => ({ step: i + 1, value: sign * value }));
        trials[number] = trialOf({ number, status: "running", reports });
        const study = studyOf(trials, { direction, maxSteps: curves[0]!.length });
        const decision = sameAsRay.decide(study, trials[number]!);
        expect(decision, `${mode} ${gracePeriod} ${reductionFactor}: trial ${number}, step ${step}`).toBe(
          stopped === 1 ? "prune" : "continue",
        );
        stops += stopped;
      }
    }
    expect(stops).toBeGreaterThan(100);
  });

  it("judges at rungs only, and in the study's direction", () => {
    const others = [1, 2, 3].map((value, number) => running(number, value, value));
    const between = running(3, 0, 99);
    expect(pruner.decide(studyOf([...others, between]), between)).toBe("continue");
    const low = running(3, 1.5);
    expect(pruner.decide(studyOf([...others, low], { direction: "maximize" }), low)).toBe("prune");
  });
});

/** Runs every trial of a promotion scheduler, one after the other, and tells which steps each came to. */
function runPromotion(pruner: ReturnType<typeof asha>, values: readonly number[], maxSteps: number): readonly number[] {
  let trials: readonly Trial[] = [];
  const advance = (number: number, until: number): void => {
    const reports: Report[] = Array.from({ length: until }, (_, i) => ({ step: i + 1, value: values[number]! }));
    const status = until >= maxSteps ? "complete" : "paused";
    trials = trials.map((trial) => (trial.number === number ? trialOf({ number, status, reports, until }) : trial));
  };
  for (const number of values.keys()) {
    trials = [...trials, trialOf({ number, status: "waiting" })];
    advance(number, pruner.firstHalt(studyOf(trials, { maxSteps }), number));
    for (;;) {
      const promotion = pruner.promote(studyOf(trials, { maxSteps }));
      if (promotion === undefined) break;
      advance(promotion.trial, promotion.until);
    }
  }
  return trials.map(({ reports }) => reports.length);
}

describe("asha, promotion", () => {
  it("takes the best third of each rung to the next, from the highest rung down", () => {
    const pruner = asha({ gracePeriod: 1, reductionFactor: 3, mode: "promotion" });
    expect(runPromotion(pruner, [1, 2, 3, 4, 5, 6, 7, 8, 9], 9)).toEqual([9, 3, 3, 1, 1, 1, 1, 1, 1]);
    // Without waiting for others, trials that are better and better all get over: the price of being asynchronous.
    expect(runPromotion(pruner, [6, 5, 4, 3, 2, 1], 9)).toEqual([1, 1, 3, 3, 9, 9]);
  });

  it("leaves no trial behind that is among the best third of its rung", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: 1, maxLength: 40 }), (values) => {
        const steps = runPromotion(asha({ gracePeriod: 1, reductionFactor: 3, mode: "promotion" }), values, 27);
        for (const rung of [1, 3, 9]) {
          const here = [...steps.keys()].filter((number) => steps[number]! >= rung);
          const best = here.sort((x, y) => values[x]! - values[y]! || x - y).slice(0, Math.floor(here.length / 3));
          for (const number of best) expect(steps[number]!).toBeGreaterThan(rung);
        }
      }),
    );
  });
});

describe("hyperband", () => {
  it("deals trials out to brackets in the proportion of the paper", () => {
    // R = 27, factor 3: 4 brackets with 27, 12 (rounded up), 6 and 4 trials.
    const counts = [0, 0, 0, 0];
    for (let number = 0; number < 490; number++) counts[bracketOf(number, 4, 3)]!++;
    for (const [index, size] of [27, 12, 6, 4].entries()) expect(Math.abs(counts[index]! - size * 10)).toBeLessThan(5);
  });

  it("halts trials at the first rung of their bracket and compares them within it", () => {
    const pruner = hyperband({ gracePeriod: 1, reductionFactor: 3, mode: "promotion" });
    const study = studyOf([], { maxSteps: 27 });
    const halts = Array.from({ length: 30 }, (_, number) => pruner.firstHalt(study, number));
    for (const [number, halt] of halts.entries()) expect(halt).toBe([1, 3, 9, 27][bracketOf(number, 4, 3)]);
    const aggressive = halts.flatMap((halt, number) => (halt === 1 ? [number] : [])).slice(0, 3);
    const other = halts.indexOf(3);
    const paused = (number: number, value: number): Trial =>
      trialOf({ number, status: "paused", until: halts[number]!, reports: [{ step: halts[number]!, value }] });
    const trials = Array.from({ length: 30 }, (_, number) => {
      if (number === other) return paused(number, 0);
      return aggressive.includes(number) ? paused(number, number + 1) : trialOf({ number, status: "failed" });
    });
    expect(pruner.promote(studyOf(trials, { maxSteps: 27 }))).toEqual({ trial: aggressive[0], until: 3 });
  });
});

describe("medianStopping", () => {
  it("decides as Optuna's MedianPruner does", () => {
    let decisions = 0;
    for (const { direction, startupTrials, warmupSteps, trials } of optunaGolden.median) {
      const pruner = medianStopping({ startupTrials, warmupSteps });
      const done: Trial[] = [];
      for (const [number, reports] of trials.entries()) {
        const seen: Report[] = [];
        for (const { step, value, prune } of reports) {
          seen.push({ step, value });
          const trial = trialOf({ number, status: "running", reports: [...seen] });
          expect(pruner.decide(studyOf([...done, trial], { direction }), trial)).toBe(prune ? "prune" : "continue");
          decisions++;
        }
        done.push(trialOf({ number, status: reports.at(-1)!.prune ? "pruned" : "complete", reports: seen }));
      }
    }
    expect(decisions).toBeGreaterThan(200);
  });
});
