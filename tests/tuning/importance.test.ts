import { describe, expect, it } from "vitest";
import { parameterImportance } from "../../src/tuning/importance.ts";
import { choice, createSpace, integer, uniform } from "../../src/tuning/space.ts";
import { optunaGolden } from "./optuna-golden.ts";
import { trialOf } from "./simulated-study.ts";

const space = createSpace({
  a: uniform(0, 1),
  b: uniform(-4, 0),
  c: integer(1, 8),
  d: choice(["u", "v", "w"]),
  e: uniform(-1, 1),
});

describe("parameterImportance", () => {
  it("finds the shares that Optuna's fANOVA finds, to 4 percentage points", () => {
    const trials = optunaGolden.importances.trials.map(({ params, value }, number) =>
      trialOf({ number, params, status: "complete", reports: [{ step: 1, value }] }),
    );
    const found = parameterImportance({ space, trials, direction: "minimize" });
    const golden = optunaGolden.importances.importance;
    expect(found.map(({ parameter }) => parameter).slice(0, 2)).toEqual(["b", "a"]);
    for (const { parameter, share } of found) expect(Math.abs(share - golden[parameter]!)).toBeLessThan(0.04);
    expect(found.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 12);
    expect(parameterImportance({ space, trials, direction: "minimize" })).toEqual(found);
  });

  it("says nothing from too few trials or equal values", () => {
    const trials = Array.from({ length: 10 }, (_, number) =>
      trialOf({
        number,
        params: { a: number / 10, b: -1, c: 1, d: "u", e: 0 },
        status: "complete",
        reports: [{ step: 1, value: 1 }],
      }),
    );
    expect(parameterImportance({ space, trials, direction: "minimize" })).toEqual([]);
    expect(parameterImportance({ space, trials: trials.slice(0, 2), direction: "minimize" })).toEqual([]);
  });
});
