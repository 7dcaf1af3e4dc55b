import { describe, expect, it } from "vitest";
import { createRng } from "../base/rng.ts";
import { divergence, entropyRange } from "./entropy.ts";
import { Histogram } from "./histogram.ts";
import { quantile, rangeOf } from "./range.ts";

function histogramOf(values: Float32Array, bins?: number): Histogram {
  const histogram = new Histogram(Math.min(...values), Math.max(...values), bins);
  histogram.add(values);
  return histogram;
}

const rng = createRng("ranges");
const normal = Float32Array.from({ length: 20_000 }, () => rng.normal());

describe("Histogram", () => {
  it("counts each value in its bin, those outside at the ends", () => {
    const histogram = new Histogram(0, 4, 4);
    histogram.add(Float32Array.of(-3, 0, 0.99, 1, 2.5, 3.99, 4, 9));
    expect([...histogram.counts]).toEqual([3, 1, 1, 3]);
  });

  it("counts values that are all the same", () => {
    const histogram = histogramOf(new Float32Array(5).fill(2));
    expect(histogram.counts[0]).toBe(5);
    expect(rangeOf("entropy", histogram)).toEqual({ low: 0, high: 2 });
    expect(rangeOf("percentile", histogram)).toEqual({ low: 0, high: 2 });
  });
});

describe("rangeOf", () => {
  it("takes all that was seen for minmax, 0 always within", () => {
    expect(rangeOf("minmax", new Histogram(-2, 5))).toEqual({ low: -2, high: 5 });
    expect(rangeOf("minmax", new Histogram(1, 5))).toEqual({ low: 0, high: 5 });
    expect(rangeOf("minmax", new Histogram(-4, -1))).toEqual({ low: -4, high: 0 });
  });

  it("leaves out one in ten thousand at either end for percentile", () => {
    const histogram = histogramOf(normal);
    const sorted = normal.toSorted();
    const { low, high } = rangeOf("percentile", histogram);
    // Between the values that the plain definition lies between, within a bin.
    expect(low).toBeGreaterThanOrEqual(sorted[0]!);
    expect(low).toBeLessThanOrEqual(sorted[3]! + histogram.width);
    expect(high).toBeGreaterThanOrEqual(sorted.at(-4)! - histogram.width);
    expect(high).toBeLessThan(sorted.at(-1)!);
  });

  it("cuts a few far outliers for entropy, and keeps what is uniform", () => {
    const outlying = Float32Array.from([...normal, 60, 61]);
    const { low, high } = rangeOf("entropy", histogramOf(outlying));
    expect(high).toBeLessThan(20);
    expect(high).toBeGreaterThan(2);
    expect(low).toBeLessThan(0);
    const uniform = Float32Array.from({ length: 20_000 }, (_, i) => i / 20_000);
    expect(rangeOf("entropy", histogramOf(uniform)).high).toBeGreaterThan(0.98);
  });
});

it("gives the quantiles of sorted values within a bin", () => {
  const histogram = histogramOf(normal);
  const sorted = normal.toSorted();
  for (const share of [0.01, 0.25, 0.5, 0.9, 0.999]) {
    const exact = sorted[Math.floor(share * (sorted.length - 1))]!;
    expect(Math.abs(quantile(histogram, share) - exact)).toBeLessThan(3 * histogram.width);
  }
});

describe("divergence", () => {
  /** By its definition, with arrays of numbers. */
  function defined(counts: readonly number[], first: number, last: number): number {
    const p = counts.slice(first, last);
    const inside = [...p];
    p[0]! += counts.slice(0, first).reduce((a, b) => a + b, 0);
    p[p.length - 1]! += counts.slice(last).reduce((a, b) => a + b, 0);
    const per = p.length / 256;
    const q = p.map((count, i) => {
      const group = Math.floor(i / per);
      const members = p.map((_, k) => k).filter((k) => Math.floor(k / per) === group && p[k]! > 0);
      return count > 0 ? members.reduce((sum, k) => sum + inside[k]!, 0) / members.length : 0;
    });
    const [sumP, sumQ] = [p, q].map((all) => all.reduce((a, b) => a + b, 0)) as [number, number];
    return p.reduce((sum, count, i) => {
      if (count === 0) return sum;
      return sum + (count / sumP) * Math.log(count / sumP / Math.max(q[i]! / sumQ, 1e-12));
    }, 0);
  }

  it("is the Kullback-Leibler divergence of its definition", () => {
    const counts = Float64Array.from({ length: 1200 }, () => (rng.int(4) === 0 ? 0 : rng.int(50)));
    for (const [first, last] of [
      [0, 1024],
      [100, 612],
      [176, 1200],
    ] as const) {
      expect(divergence(counts, first, last)).toBeCloseTo(defined([...counts], first, last), 10);
    }
  });

  it("is nothing where each code has one bin and nothing lies outside", () => {
    const counts = Float64Array.from({ length: 256 }, (_, i) => i + 1);
    expect(divergence(counts, 0, 256)).toBeCloseTo(0, 12);
  });

  it("is smaller at the chosen upper end than at others", () => {
    const histogram = histogramOf(Float32Array.from([...normal.map(Math.abs), 30]));
    const { high } = entropyRange(histogram);
    const at = (edge: number): number => Math.round((edge - histogram.low) / histogram.width);
    const chosen = divergence(histogram.counts, 0, at(high));
    for (const share of [0.25, 0.5, 0.75, 1]) {
      expect(chosen).toBeLessThanOrEqual(divergence(histogram.counts, 0, at(histogram.high * share)));
    }
  });
});
