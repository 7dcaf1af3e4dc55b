import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { gammaSurvival, logGamma } from "../../src/observability/drift/gamma.ts";
import { covarianceTraces, discrepancyPValue, meanOf } from "../../src/observability/drift/mean-embedding.ts";
import { ksDistance, ksPValue, populationStability, sorted } from "../../src/observability/drift/two-sample.ts";

// The oracle: scipy and a permutation test by numpy (scripts/goldens/drift.py).
interface Golden {
  readonly gamma: readonly { a: number; x: number; q: number; logGamma: number }[];
  readonly ks: readonly { a: number[]; b: number[]; statistic: number; p: number }[];
  readonly mmd: readonly {
    x: number[][];
    y: number[][];
    score: number;
    permutation: number;
    trace: number;
    traceSquare: number;
  }[];
  readonly psi: readonly { expected: number[]; observed: number[]; psi: number }[];
}
const golden = JSON.parse(readFileSync(new URL("drift.json", import.meta.url), "utf8")) as Golden;

describe("drift statistics", () => {
  it.each(golden.gamma)("incomplete gamma function at a=$a, x=$x is scipy's", ({ a, x, q, logGamma: expected }) => {
    expect(Math.abs(gammaSurvival(a, x) - q)).toBeLessThan(1e-12 + 1e-10 * q);
    expect(logGamma(a)).toBeCloseTo(expected, 10);
  });

  it.each(golden.ks)("Kolmogorov-Smirnov: distance as scipy's, p near the exact one ($p)", ({ a, b, statistic, p }) => {
    const distance = ksDistance(sorted(a), sorted(b));
    expect(distance).toBeCloseTo(statistic, 12);
    // An approximation: within 15 % of the exact value where a decision could hang on it.
    const approximate = ksPValue(distance, a.length, b.length);
    expect(Math.abs(approximate - p)).toBeLessThan(Math.max(0.15 * p, 1e-9));
  });

  it.each(golden.mmd)("mean discrepancy: p near that of a permutation test ($permutation)", (test) => {
    const [x, y] = [test.x, test.y].map((rows) => rows.map((row) => Float64Array.from(row)));
    const [mean, other] = [meanOf(x!), meanOf(y!)];
    const score = mean.reduce((sum, value, i) => sum + (value - other[i]!) ** 2, 0);
    expect(score).toBeCloseTo(test.score, 5);
    const traces = covarianceTraces(x!, mean);
    expect(traces.trace).toBeCloseTo(test.trace, 4);
    expect(traces.traceSquare).toBeCloseTo(test.traceSquare, 4);
    const pValue = discrepancyPValue({ score, n: x!.length, m: y!.length, ...traces });
    expect(Math.abs(pValue - test.permutation)).toBeLessThan(0.03);
  });

  it.each(golden.psi)(
    "population stability index is the sum of both relative entropies",
    ({ expected, observed, psi }) => {
      expect(populationStability(expected, observed)).toBeCloseTo(psi, 10);
    },
  );
});
