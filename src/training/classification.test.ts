import { describe, expect, it } from "vitest";
import { createRng } from "../base/rng.ts";
import { floats } from "../tensor/tensor.ts";
import { estimateTemperature, expectedCalibrationError, fitTemperature } from "./calibration.ts";
import { classificationMetrics } from "./classification.ts";

/** Logits whose largest element is the given class. */
function predicting(predictions: readonly number[], classes: number) {
  const data = predictions.flatMap((p) => Array.from({ length: classes }, (_, k) => (k === p ? 2 : 0)));
  return floats([predictions.length, classes], data);
}

describe("classificationMetrics", () => {
  it("agrees with figures worked out by hand (and by scikit-learn over the classes that have images)", () => {
    // sklearn: precision_recall_fscore_support([0,0,0,1,1,2], [0,0,1,1,2,1], labels=[0,1,2], zero_division=0)
    const labels = Int32Array.of(0, 0, 0, 1, 1, 2);
    const metrics = classificationMetrics(predicting([0, 0, 1, 1, 2, 1], 4), labels, ["a", "b", "c", "d"]);
    expect(metrics.accuracy).toBeCloseTo(3 / 6, 12);
    expect(metrics.confusion).toEqual([
      [2, 1, 0, 0],
      [0, 1, 1, 0],
      [0, 1, 0, 0],
      [0, 0, 0, 0],
    ]);
    expect(metrics.perClass).toEqual([
      { label: "a", precision: 1, recall: expect.closeTo(2 / 3), f1: expect.closeTo(0.8), support: 3 },
      { label: "b", precision: expect.closeTo(1 / 3), recall: 0.5, f1: expect.closeTo(0.4), support: 2 },
      { label: "c", precision: 0, recall: 0, f1: 0, support: 1 },
      { label: "d", precision: 0, recall: 0, f1: 0, support: 0 },
    ]);
    expect(metrics.macroPrecision).toBeCloseTo((1 + 1 / 3) / 3, 12);
    expect(metrics.macroRecall).toBeCloseTo((2 / 3 + 1 / 2) / 3, 12);
    expect(metrics.macroF1).toBeCloseTo((0.8 + 0.4) / 3, 12);
    const z = Math.log(Math.exp(2) + 3);
    expect(metrics.loss).toBeCloseTo((3 * (z - 2) + 3 * z) / 6, 6);
  });

  it("keeps the loss finite for huge logits and the first of equal logits", () => {
    const metrics = classificationMetrics(floats([2, 2], [1e4, -1e4, 5, 5]), Int32Array.of(0, 0), ["a", "b"]);
    expect(metrics.loss).toBeCloseTo(Math.log(2) / 2, 9);
    expect(metrics.accuracy).toBe(1);
  });

  it("refuses what does not fit", () => {
    const classes = ["a", "b"];
    expect(() => classificationMetrics(floats([1, 3], [0, 0, 0]), Int32Array.of(0), classes)).toThrow(/\[1,3\]/);
    expect(() => classificationMetrics(floats([1, 2], [0, 0]), Int32Array.of(0, 1), classes)).toThrow(/2 labels/);
    expect(() => classificationMetrics(floats([1, 2], [0, 0]), Int32Array.of(2), classes)).toThrow(/label 2/);
    expect(() => classificationMetrics(floats([0, 2], []), new Int32Array(0), classes)).toThrow(/at least one/);
  });
});

describe("estimateTemperature", () => {
  const many = (n: number) => Array.from({ length: n }, (_, i) => i % 2);

  it("stays at 1 with too few images, or when every answer is right, and says why", () => {
    for (const count of [2, 5, 29, 200]) {
      const { temperature, doubt } = estimateTemperature(predicting(many(count), 2), Int32Array.from(many(count)));
      expect(temperature).toBe(1);
      expect(doubt).toMatch(count < 30 ? /too few to calibrate/ : /not calibrated/);
    }
  });

  it("is that of fitTemperature otherwise", () => {
    const labels = Int32Array.from(many(100), (label, i) => (i % 10 === 0 ? 1 - label : label));
    const logits = predicting(many(100), 2);
    expect(estimateTemperature(logits, labels)).toEqual({ temperature: fitTemperature(logits, labels).temperature });
  });
});

describe("fitTemperature", () => {
  const rng = createRng("calibration");
  const [count, classes, truth] = [4000, 5, 2.5];
  const calm = Array.from({ length: count * classes }, () => 1.5 * rng.normal());
  const labels = Int32Array.from({ length: count }, (_, n) => {
    const weights = calm.slice(n * classes, (n + 1) * classes).map(Math.exp);
    const u = rng.uniform() * weights.reduce((a, b) => a + b, 0);
    let sum = 0;
    const drawn = weights.findIndex((w) => {
      sum += w;
      return u < sum;
    });
    return Math.max(0, drawn);
  });
  const overconfident = floats(
    [count, classes],
    calm.map((x) => x * truth),
  );

  it("finds the factor that made calibrated logits overconfident", () => {
    const { temperature, lossBefore, lossAfter } = fitTemperature(overconfident, labels);
    expect(temperature).toBeGreaterThan(truth * 0.92);
    expect(temperature).toBeLessThan(truth * 1.08);
    expect(lossAfter).toBeLessThan(lossBefore);
    // A minimum: the loss rises to both sides.
    for (const factor of [0.97, 1.03]) {
      const moved = fitTemperature(
        floats(
          [count, classes],
          overconfident.data.map((x) => x / (temperature * factor)),
        ),
        labels,
      );
      expect(moved.lossBefore).toBeGreaterThan(lossAfter);
    }
  });

  it("lowers the expected calibration error", () => {
    const { temperature } = fitTemperature(overconfident, labels);
    const before = expectedCalibrationError(overconfident, labels);
    const after = expectedCalibrationError(overconfident, labels, { temperature });
    expect(before).toBeGreaterThan(0.1);
    expect(after).toBeLessThan(0.03);
  });

  it("computes the calibration error as by hand", () => {
    // Confidence 0.8 twice, right once: |0.5 - 0.8|.
    const logit = Math.log(4);
    const logits = floats([2, 2], [logit, 0, logit, 0]);
    expect(expectedCalibrationError(logits, Int32Array.of(0, 1))).toBeCloseTo(0.3, 6);
  });

  it("refuses logits that are no numbers", () => {
    expect(() => fitTemperature(floats([1, 2], [Number.NaN, 0]), Int32Array.of(0))).toThrow(/not finite/);
  });
});
