import { expect, test } from "vitest";
import { floats } from "../tensor/tensor.ts";
import * as g from "./build.ts";
import { defineGraph } from "./graph.ts";
import { printGraph } from "./print.ts";

test("printGraph lists values, attributes, next states and outputs", () => {
  const x = g.input("images", "float32", [1, 3, 8, 8]);
  const w = g.input("conv.weight", "float32", [4, 3, 3, 3]);
  const y = g.conv2d(x, w, { padding: 1, stride: 2 });
  const sum = g.add(g.reduceSum(y, [0, 2, 3]), g.constant(floats([4], [1, 2, 3, 4])));
  const graph = defineGraph({
    name: "stem",
    inputs: [x],
    variables: { "conv.weight": { current: w, next: g.neg(w) } },
    outputs: { sum },
  });
  expect(printGraph(graph)).toBe(`graph stem {
  @images : float32[1,3,8,8]
  @conv.weight : float32[4,3,3,3]
  %2 = conv2d(@images, @conv.weight) {strides=2,2 pads=1,1,1,1 dilations=1,1 groups=1} : float32[1,4,4,4]
  %3 = reduceSum(%2) {axes=0,2,3} : float32[4]
  %4 = constant() {1, 2, 3, 4} : float32[4]
  %5 = binary(%3, %4) {kind=add} : float32[4]
  %6 = unary(@conv.weight) {kind=neg} : float32[4,3,3,3]
  @conv.weight <- %6
  return sum = %5
}`);
});

test("printGraph cuts long constants short", () => {
  const graph = defineGraph({ name: "g", inputs: [], outputs: { y: g.constant(floats([5], [1, 2, 3, 4, 5])) } });
  expect(printGraph(graph)).toContain("{1, 2, 3, 4, …}");
});
