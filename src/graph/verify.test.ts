import { describe, expect, test } from "vitest";
import * as g from "./build.ts";
import { defineGraph, type Graph } from "./graph.ts";
import { verifyGraph } from "./verify.ts";

const x = g.input("x", "float32", [2, 3]);
const y = g.neg(x);
const w = g.input("w", "float32", [2, 3]);
const valid = defineGraph({
  name: "g",
  inputs: [x],
  variables: { w: { current: w, next: g.add(w, y) } },
  outputs: { y },
});

const broken: readonly (readonly [string, Graph, RegExp])[] = [
  ["a user before its operand", { ...valid, values: [...valid.values].reverse() }, /stands before its operand/],
  ["an undeclared input", { ...valid, inputs: {} }, /x is used but not declared/],
  ["an output that is not computed", { ...valid, outputs: { z: g.exp(x) } }, /output z is not computed/],
  [
    "a next value that is not computed",
    { ...valid, variables: { w: { current: w, next: g.exp(w) } } },
    /next value of w is not computed/,
  ],
  [
    "a value of the wrong shape",
    { ...valid, values: [x, { ...y, shape: [3, 2] }], outputs: {}, variables: {} },
    /unary is float32\[3,2\] but computes float32\[2,3\]/,
  ],
  [
    "a value of the wrong element type",
    { ...valid, values: [x, { ...y, dtype: "int32" }], outputs: {}, variables: {} },
    /unary is int32/,
  ],
];

describe("verifyGraph", () => {
  test("accepts what defineGraph made", () => {
    expect(() => verifyGraph(valid)).not.toThrow();
  });

  test.each(broken)("refuses %s", (_, graph, message) => {
    expect(() => verifyGraph(graph)).toThrow(
      expect.objectContaining({ code: "GRAPH_INVALID", message: expect.stringMatching(message) }),
    );
  });
});
