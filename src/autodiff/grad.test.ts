import { describe, expect, test } from "vitest";
import * as g from "../graph/build.ts";
import { defineGraph, topologicalOrder } from "../graph/graph.ts";
import { verifyGraph } from "../graph/verify.ts";
import { gradients } from "./grad.ts";

const image = g.input("x", "float32", [1, 2, 4, 4]);
const vector = g.input("v", "float32", [3]);

const notDifferentiable = (op: string) =>
  expect.objectContaining({ code: "NOT_DIFFERENTIABLE", message: expect.stringContaining(op) });

describe("gradients", () => {
  test("refuses what is no scalar", () => {
    expect(() => gradients(vector, [vector])).toThrow(
      expect.objectContaining({ code: "SHAPE_MISMATCH", message: expect.stringContaining("[3]") }),
    );
  });

  test("refuses a way through an operation without a rule", () => {
    const theta = g.input("theta", "float32", [1, 2, 3]);
    const sampled = g.affineSample(image, theta, { height: 4, width: 4, mode: "bilinear", border: "zeros" });
    expect(() => gradients(g.sumAll(sampled), [image])).toThrow(notDifferentiable("affineSample"));
  });

  test("refuses the second order of an activation", () => {
    const first = gradients(g.sumAll(g.activation(vector, "silu")), [vector])[0]!;
    expect(() => gradients(g.sumAll(first), [vector])).toThrow(notDifferentiable("activationGrad"));
  });

  test("does not touch an operation without a rule that lies on no way to the values", () => {
    const theta = g.input("theta", "float32", [1, 2, 3]);
    const sampled = g.affineSample(image, theta, { height: 4, width: 4, mode: "nearest", border: "reflect" });
    const w = g.input("w", "float32", [4, 2, 3, 3]);
    const [dw] = gradients(g.sumAll(g.conv2d(sampled, w, { padding: 1 })), [w]);
    expect(dw!.shape).toEqual([4, 2, 3, 3]);
  });

  test("passes an operation without a rule behind stopGradient", () => {
    const first = gradients(g.sumAll(g.activation(vector, "gelu")), [vector])[0]!;
    const loss = g.sumAll(g.mul(vector, g.stopGradient(first)));
    expect(gradients(loss, [vector])[0]!.shape).toEqual([3]);
  });

  test("is zeros where the scalar does not depend on the value, and one for itself", () => {
    const loss = g.sumAll(vector);
    const [own, other] = gradients(loss, [loss, image]);
    expect(own!.op).toBe("constant");
    expect(other).toMatchObject({ op: "broadcast", shape: [1, 2, 4, 4] });
  });

  test("computes nothing for values that are not asked for", () => {
    const w = g.input("w", "float32", [4, 2, 3, 3]);
    const [dw] = gradients(g.sumAll(g.conv2d(image, w)), [w]);
    const ops = topologicalOrder([dw!]).map(({ op }) => op);
    expect(ops).toContain("conv2dWeightGrad");
    expect(ops).not.toContain("conv2dInputGrad");
  });

  test("sums the contributions of all uses in a graph that verifies", () => {
    const loss = g.sumAll(g.add(g.mul(vector, vector), vector));
    const graph = defineGraph({ name: "g", inputs: [vector], outputs: { d: gradients(loss, [vector])[0]! } });
    expect(() => verifyGraph(graph)).not.toThrow();
    expect(
      graph.values.filter(({ op, attrs }) => op === "binary" && "kind" in attrs && attrs.kind === "add").length,
    ).toBe(2);
  });
});
