import { describe, expect, test } from "vitest";
import * as g from "./build.ts";
import { windowSize } from "./infer.ts";
import type { Value } from "./value.ts";

const f = (...shape: number[]): Value => g.input("x", "float32", shape);
const labels = g.input("labels", "int32", [4]);
const image = f(2, 6, 8, 8);
const pool = { kernel: [9, 9], strides: [1, 1], pads: [0, 0, 0, 0] } as const;
const sample = { height: 8, width: 8, mode: "bilinear", border: "zeros" } as const;
const conv = { strides: [1, 1], pads: [1, 1, 1, 1], dilations: [1, 1], groups: 1 } as const;

const refused: readonly (readonly [string, () => Value, RegExp])[] = [
  [
    "binary of unequal shapes",
    () => g.add(f(2, 3), f(3)),
    /binary\(float32\[2,3\], float32\[3\]\).*broadcast explicitly/,
  ],
  ["binary of unequal types", () => g.add(f(4), labels), /differ in type/],
  ["activation with two operands", () => g.apply("activation", [f(2), f(2)], { kind: "relu" }), /needs 1 operands/],
  ["gradient of silu without y", () => g.apply("activationGrad", [f(2), f(2)], { kind: "silu" }), /needs 3 operands/],
  ["reshape to another size", () => g.reshape(f(2, 3), [5]), /cannot become \[5\]/],
  ["transpose by no permutation", () => g.transpose(f(2, 3), [0, 0]), /no permutation/],
  ["transpose of too few axes", () => g.transpose(f(2, 3), [1]), /no permutation/],
  ["broadcast along falling axes", () => g.broadcastTo(f(2, 3), [3, 2, 4], [1, 0]), /cannot become/],
  ["broadcast of an unequal dimension", () => g.broadcastTo(f(3), [2, 4], [1]), /cannot become/],
  ["concat of nothing", () => g.concat([], 0), /axis 0 is out of range/],
  ["concat of unequal parts", () => g.concat([f(2, 3), f(2, 4)], 0), /differ outside axis 0/],
  ["slice beyond the end", () => g.slice(f(2, 3), 1, 1, 4), /1\.\.4 is outside axis 1/],
  ["empty slice", () => g.slice(f(2, 3), 1, 1, 1), /outside axis/],
  ["negative padding", () => g.pad(f(2, 3), 1, -1, 0), /negative padding/],
  ["flip of a missing axis", () => g.flip(f(2), [1]), /axis 1 is out of range/],
  ["sum over a missing axis", () => g.reduceSum(f(2, 3), [2]), /axis 2 is out of range/],
  ["argMax of a scalar", () => g.argMax(f()), /needs an axis/],
  ["matmul with unequal inner dimensions", () => g.matmul(f(2, 3), f(2, 3)), /inner dimensions differ: 3 and 2/],
  ["matmul of unequal batches", () => g.matmul(f(2, 3, 4), f(3, 4, 5)), /as many matrices/],
  ["matmul of vectors", () => g.matmul(f(3), f(3)), /needs two matrices/],
  ["logSoftmax of a vector", () => g.logSoftmax(f(3)), /needs \[N, classes\]/],
  ["oneHot of floats", () => g.oneHot(f(4), 10), /int32 labels/],
  ["conv2d of other channels", () => g.conv2d(image, f(4, 5, 3, 3)), /does not fit 6 input channels in 1 groups/],
  ["conv2d with outputs that no groups share", () => g.conv2d(image, f(4, 2, 3, 3), { groups: 3 }), /in 3 groups/],
  ["conv2d with a kernel too large", () => g.conv2d(image, f(4, 6, 9, 9)), /larger than the padded input 8x8/],
  [
    "conv2dInputGrad of another size",
    () => g.apply("conv2dInputGrad", [f(2, 4, 7, 7), f(4, 6, 3, 3)], { ...conv, inputShape: [2, 6, 8, 8] }),
    /operand 0 must be \[2,4,8,8\]/,
  ],
  [
    "conv2dWeightGrad of another size",
    () => g.apply("conv2dWeightGrad", [image, f(2, 4, 7, 7)], { ...conv, weightShape: [4, 6, 3, 3] }),
    /operand 1 must be \[2,4,8,8\]/,
  ],
  ["channelAffine by other channels", () => g.channelAffine(image, f(5), f(5)), /must both be \[6\] or \[2, 6\]/],
  ["channelAffine by unequal vectors", () => g.channelAffine(image, f(6), f(2, 6)), /must both be/],
  ["spatialDot of a matrix", () => g.spatialDot(f(2, 3), f(2, 3)), /\[N, C, H, W\]/],
  ["maxPool2d with a window too large", () => g.apply("maxPool2d", [image], pool), /window 9,9 is larger/],
  ["affineSample with a matrix too few", () => g.affineSample(image, f(1, 2, 3), sample), /must be \[2,2,3\]/],
  ["resize of a matrix", () => g.resize(f(2, 3), 4, 4), /\[N, C, H, W\]/],
  [
    "resizeGrad to other channels",
    () => g.apply("resizeGrad", [image], { inputShape: [2, 5, 4, 4] }),
    /does not come from \[2,5,4,4\]/,
  ],
];

describe("inference refuses", () => {
  test.each(refused)("%s", (_, build, message) => {
    expect(build).toThrow(expect.objectContaining({ code: "SHAPE_MISMATCH", message: expect.stringMatching(message) }));
  });
});

test.each([
  [32, 3, { strides: [1, 1], pads: [1, 1, 1, 1] }, 32],
  [31, 3, { strides: [2, 2], pads: [1, 1, 1, 1] }, 16],
  [32, 7, { strides: [2, 2], pads: [3, 3, 3, 3] }, 16],
  [9, 3, { strides: [1, 1], pads: [0, 0, 0, 0], dilations: [2, 2] }, 5],
] as const)("window of %i pixels by kernel %i", (size, kernel, attrs, expected) => {
  expect(windowSize([size, size], [kernel, kernel], attrs)).toEqual([expected, expected]);
});

test("a broadcast of a broadcast is one broadcast", () => {
  const twice = g.broadcastTo(g.broadcastTo(f(3), [2, 3], [1]), [2, 5, 3], [0, 2]);
  expect(twice.operands[0]!.op).toBe("input");
  expect(twice.attrs).toEqual({ shape: [2, 5, 3], axes: [2] });
});
