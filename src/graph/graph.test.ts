import { describe, expect, test } from "vitest";
import { scalar } from "../tensor/tensor.ts";
import * as g from "./build.ts";
import { countUses, defineGraph, topologicalOrder } from "./graph.ts";
import type { Value } from "./value.ts";

const invalid = (message: RegExp) =>
  expect.objectContaining({ code: "GRAPH_INVALID", message: expect.stringMatching(message) });

describe("defineGraph", () => {
  const x = g.input("x", "float32", [2]);

  test("refuses an input that is used but not declared", () => {
    expect(() => defineGraph({ name: "g", inputs: [], outputs: { y: g.neg(x) } })).toThrow(
      invalid(/x is used but not/),
    );
  });

  test("refuses two inputs of one name", () => {
    const twin = g.input("x", "float32", [2]);
    expect(() => defineGraph({ name: "g", inputs: [x, twin], outputs: { y: x } })).toThrow(invalid(/two inputs/));
  });

  test("refuses a variable under another name, or under that of an input", () => {
    const variables = { w: { current: x, next: x } };
    expect(() => defineGraph({ name: "g", inputs: [], variables, outputs: {} })).toThrow(invalid(/misnamed/));
    const clash = { x: { current: x, next: x } };
    expect(() => defineGraph({ name: "g", inputs: [x], variables: clash, outputs: {} })).toThrow(invalid(/clashes/));
  });

  test("refuses a variable that changes its type", () => {
    const variables = { x: { current: x, next: g.sumAll(x) } };
    expect(() => defineGraph({ name: "g", inputs: [], variables, outputs: {} })).toThrow(
      invalid(/from float32\[2\] to float32\[\]/),
    );
  });

  test("collects each value once, operands first", () => {
    const a = g.neg(x);
    const b = g.mul(a, a);
    const graph = defineGraph({ name: "g", inputs: [x], outputs: { b, a, again: b } });
    expect(graph.values).toEqual([x, a, b]);
    expect(countUses(graph).get(a)).toBe(3);
    expect(countUses(graph).get(b)).toBe(2);
  });
});

test("topologicalOrder does not recurse: a chain of 100,000 values", () => {
  const one = g.constant(scalar(1));
  let value: Value = one;
  for (let i = 0; i < 100_000; i++) value = g.add(value, one);
  expect(topologicalOrder([value])).toHaveLength(100_001);
});
