import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { softmax, topK } from "./softmax.ts";

describe("softmax", () => {
  it("gives the known values of [0, ln 2, ln 5]", () => {
    const probabilities = softmax([0, Math.log(2), Math.log(5)]);
    [0.125, 0.25, 0.625].forEach((expected, i) => {
      expect(probabilities[i]).toBeCloseTo(expected, 14);
    });
  });

  it("sums to one, keeps the order and ignores a shift, at any temperature", () => {
    const logits = fc.array(fc.float({ min: -1000, max: 1000, noNaN: true }), { minLength: 2, maxLength: 20 });
    fc.assert(
      fc.property(logits, fc.double({ min: 0.05, max: 20, noNaN: true }), (row, temperature) => {
        const probabilities = softmax(row, temperature);
        expect(probabilities.reduce((a, b) => a + b)).toBeCloseTo(1, 10);
        const best = topK(probabilities, 1)[0]!.index;
        expect(row[best]).toBeCloseTo(Math.max(...row), 6);
        softmax(
          row.map((value) => value + 1024),
          temperature,
        ).forEach((value, i) => {
          expect(value).toBeCloseTo(probabilities[i]!, 8);
        });
      }),
    );
  });

  it("flattens with a temperature above one", () => {
    expect(softmax([2, 0], 4)[0]!).toBeLessThan(softmax([2, 0], 1)[0]!);
  });

  it("refuses logits that are not finite and temperatures that are not positive", () => {
    expect(() => softmax([1, Number.NaN])).toThrow(/"logits" is NaN for class 1/);
    expect(() => softmax([1, 2], 0)).toThrow(/temperature/);
  });
});

describe("topK", () => {
  it("ranks by probability, then by index", () => {
    expect(topK([0.2, 0.3, 0.2, 0.3], 3).map(({ index }) => index)).toEqual([1, 3, 0]);
  });
});
