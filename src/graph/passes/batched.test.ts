import { describe, expect, it } from "vitest";
import { add, channelAffine, conv2d, filled, input, matmul, reduceSum, reshape, transpose } from "../build.ts";
import { defineGraph, type Graph } from "../graph.ts";
import type { Value } from "../value.ts";
import { batchedValues } from "./batched.ts";

const graphOf = (x: Value<"input">, y: Value, weights: readonly Value<"input">[] = []): Graph =>
  defineGraph({
    name: "net",
    inputs: [x],
    variables: Object.fromEntries(weights.map((current) => [current.attrs.name, { current, next: current }])),
    outputs: { y },
  });

describe("batchedValues", () => {
  it("tells the batch from channel vectors of the same size", () => {
    const x = input("x", "float32", [4, 4, 4, 4]);
    const w = input("w", "float32", [4, 4, 1, 1]);
    const bias = input("bias", "float32", [4]);
    const ones = filled([4], 1);
    const perSample = filled([4, 4], 2);
    const y = channelAffine(channelAffine(conv2d(x, w), ones, bias), perSample, perSample);
    const batched = batchedValues(graphOf(x, y, [w, bias]));
    expect([x, y, perSample].map((value) => batched.has(value))).toEqual([true, true, true]);
    expect([w, bias, ones].map((value) => batched.has(value))).toEqual([false, false, false]);
  });

  it.each<[string, (x: Value) => Value, RegExp]>([
    ["sums over the batch", (x) => reduceSum(x, [0]), /reduceSum to \[3\] mixes or moves/],
    ["transposes it away", (x) => transpose(x, [1, 0]), /transpose to \[3,3\] mixes or moves/],
    ["multiplies by itself", (x) => matmul(x, x), /matmul to \[3,3\] takes a batch as its operand 1/],
    ["flattens it", (x) => reshape(x, [9]), /reshape to \[9\] mixes or moves/],
  ])("refuses a graph that %s", (_, build, message) => {
    const x = input("x", "float32", [3, 3]);
    expect(() => batchedValues(graphOf(x, build(x)))).toThrow(message);
  });

  it("refuses inputs without a batch in common", () => {
    const [x, y] = [input("x", "float32", [2, 3]), input("y", "float32", [3])];
    const graph = defineGraph({ name: "net", inputs: [x, y], outputs: { z: add(x, x) } });
    expect(() => batchedValues(graph)).toThrow(/no batch in common/);
  });
});
