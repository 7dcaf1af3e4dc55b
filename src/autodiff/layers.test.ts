import { describe, expect, it } from "vitest";
import * as g from "../graph/build.ts";
import { defineGraph } from "../graph/graph.ts";
import { substitute } from "../graph/passes/substitute.ts";
import { isOp, type Value } from "../graph/value.ts";
import { gradients } from "./grad.ts";

const x = g.input("images", "float32", [2, 3, 8, 8]);
const weights = [g.input("first.weight", "float32", [4, 3, 3, 3]), g.input("second.weight", "float32", [4, 4, 3, 3])];
const conv = (image: Value, weight: Value): Value => g.activation(g.conv2d(image, weight, { padding: 1 }), "relu");
const loss = g.sumAll(conv(conv(x, weights[0]!), weights[1]!));
const grads = gradients(loss, weights);
const graph = defineGraph({
  name: "two",
  inputs: [x, ...weights],
  variables: {},
  outputs: { a: grads[0]!, b: grads[1]! },
});
const layersOf = (of: typeof graph, op: Value["op"]) => of.values.filter((v) => isOp(v, op)).map(({ layer }) => layer);

describe("a value's layer", () => {
  it("is the weight that it was computed with, gradients included", () => {
    expect(layersOf(graph, "conv2d")).toEqual(["first.weight", "second.weight"]);
    expect(layersOf(graph, "activation")).toEqual(["first.weight", "second.weight"]);
    expect(layersOf(graph, "conv2dWeightGrad").sort()).toEqual(["first.weight", "second.weight"]);
    expect(layersOf(graph, "conv2dInputGrad")).toEqual(["second.weight"]);
    expect(grads.map(({ layer }) => layer)).toEqual(["first.weight", "second.weight"]);
  });

  it("is kept where a pass replaces a value", () => {
    const doubled = substitute(graph, (value, operands) =>
      isOp(value, "conv2dWeightGrad")
        ? g.add(g.apply(value.op, operands, value.attrs), g.filled(value.shape, 0))
        : undefined,
    );
    expect(layersOf(doubled, "conv2dWeightGrad").sort()).toEqual(["first.weight", "second.weight"]);
    expect(Object.values(doubled.outputs).map(({ layer }) => layer)).toEqual(["first.weight", "second.weight"]);
  });
});
