import { describe, expect, test } from "vitest";
import * as g from "../../graph/build.ts";
import { defineGraph } from "../../graph/graph.ts";
import { floats } from "../../tensor/tensor.ts";
import { erf } from "./erf.ts";
import { createReferenceExecutor } from "./executor.ts";
import { fromHalfBits, roundHalfEven, toHalfBits } from "./half.ts";

const x = g.input("x", "float32", [2]);

describe("reference executor", () => {
  test("rounds each float32 result, or keeps double precision", async () => {
    const small = defineGraph({ name: "g", inputs: [x], outputs: { y: g.shift(g.shift(x, 2 ** -30), -1) } });
    const run = async (precision: "float32" | "float64"): Promise<number[]> => {
      await using executable = await createReferenceExecutor({ precision }).compile(small);
      return Array.from((await executable.run({ x: floats([2], [1, 1]) })).y!.data);
    };
    expect(await run("float32")).toEqual([0, 0]);
    expect(await run("float64")).toEqual([2 ** -30, 2 ** -30]);
  });
});

test.each([
  [0, 0],
  [0.5, 0.5204998778130465],
  [-1, -0.8427007929497149],
  [2, 0.9953222650189527],
  [3.5, 0.9999992569016276],
  [7, 1],
])("erf(%d)", (at, expected) => {
  expect(erf(at)).toBeCloseTo(expected, 14);
});

test("every finite half-precision number survives the way there and back", () => {
  for (let bits = 0; bits < 0x10000; bits++) {
    if ((bits & 0x7c00) !== 0x7c00) expect(toHalfBits(fromHalfBits(bits))).toBe(bits);
  }
});

test("half precision rounds to nearest even and overflows to infinity", () => {
  expect(fromHalfBits(toHalfBits(1 + 2 ** -11))).toBe(1);
  expect(fromHalfBits(toHalfBits(1 + 3 * 2 ** -11))).toBe(1 + 2 ** -9);
  expect(fromHalfBits(toHalfBits(65519))).toBe(65504);
  expect(fromHalfBits(toHalfBits(-65520))).toBe(Number.NEGATIVE_INFINITY);
  expect([0.5, 1.5, 2.5, -1.5, -2.5].map(roundHalfEven)).toEqual([0, 2, 2, -2, -2]);
});
