import { describe, expect, it } from "vitest";
import { smooth, tableOf } from "./curves.ts";

describe("smooth", () => {
  it("begins at the first value and keeps gaps", () => {
    expect(smooth([4, null, 4, 4], 0.9)).toEqual([4, null, expect.closeTo(4), expect.closeTo(4)]);
    // 1 and 0 with the weights 0.5 and 1, over their sum.
    expect(smooth([1, 0], 0.5)[1]).toBeCloseTo(1 / 3);
    expect(smooth([1, 5], 0)).toEqual([1, 5]);
  });
});

describe("tableOf", () => {
  const points = [
    { step: 2, timestamp: 3000, value: 5 },
    { step: 1, timestamp: 1000, value: Number.NaN },
    { step: 2, timestamp: 4000, value: 6 },
  ];
  it("orders points, keeps the last of a step and leaves gaps where there is no number", () => {
    expect(tableOf(points, { axis: "step", logY: false, smoothing: 0 })).toEqual([
      [1, 2],
      [null, 6],
    ]);
  });
  it("counts seconds from the earliest point", () => {
    expect(tableOf(points, { axis: "relative", logY: false, smoothing: 0 })[0]).toEqual([0, 2, 3]);
  });
});
