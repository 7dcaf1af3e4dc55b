import { describe, expect, it } from "vitest";
import { type BestSoFar, isExhausted, type Monitor, nothingYet, observe } from "./early-stopping.ts";
import type { ClassificationMetrics } from "./metrics.ts";

function follow(monitor: Monitor, values: readonly number[]): BestSoFar {
  return values.reduce<BestSoFar>(
    (best, value, i) =>
      observe(best, { [monitor]: value } as unknown as ClassificationMetrics, { epoch: i + 1, monitor }),
    nothingYet,
  );
}

describe("early stopping", () => {
  it("remembers the first of equally good epochs and counts epochs since", () => {
    expect(follow("accuracy", [0.5, 0.7, 0.7, 0.6])).toEqual({ epoch: 2, value: 0.7, epochsSince: 2 });
    expect(follow("loss", [1.5, 0.9, 1.1, 0.8])).toEqual({ epoch: 4, value: 0.8, epochsSince: 0 });
  });

  it("never takes NaN for an improvement", () => {
    expect(follow("loss", [Number.NaN, 2, Number.NaN])).toEqual({ epoch: 2, value: 2, epochsSince: 1 });
  });

  it("stops after `patience` epochs without improvement, not earlier", () => {
    expect(isExhausted(follow("loss", [1, 2, 2]), { patience: 3 })).toBe(false);
    expect(isExhausted(follow("loss", [1, 2, 2, 2]), { patience: 3 })).toBe(true);
  });

  it("refuses a patience of 0", () => {
    expect(() => isExhausted(nothingYet, { patience: 0 })).toThrow(/patience/);
  });
});
