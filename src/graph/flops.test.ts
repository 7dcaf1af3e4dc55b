import { describe, expect, it } from "vitest";
import { gradients } from "../autodiff/grad.ts";
import { conv2d, input, matmul, sumAll } from "./build.ts";
import { countFlops } from "./flops.ts";
import { defineGraph } from "./graph.ts";

describe("countFlops", () => {
  it("counts a convolution and both of its gradients alike", () => {
    const x = input("x", "float32", [2, 6, 9, 9]);
    const w = input("w", "float32", [4, 3, 3, 3]);
    const y = conv2d(x, w, { stride: 2, padding: 1, groups: 2 });
    const [dx, dw] = gradients(sumAll(y), [x, w]);
    const graph = defineGraph({ name: "conv", inputs: [x, w], outputs: { y, dx: dx!, dw: dw! } });
    // 2 images, 4 channels, 5 x 5 positions, each 3 channels of 3 x 3 products and sums.
    const one = 2 * 2 * 4 * 25 * 3 * 9;
    expect(countFlops(graph)).toEqual({
      total: 3 * one,
      byOp: { conv2d: one, conv2dInputGrad: one, conv2dWeightGrad: one },
    });
  });

  it("counts matrix products in every orientation and batched", () => {
    const a = input("a", "float32", [7, 3]);
    const b = input("b", "float32", [5, 7]);
    const c = input("c", "float32", [4, 2, 3]);
    const d = input("d", "float32", [4, 3, 8]);
    const graph = defineGraph({
      name: "matmul",
      inputs: [a, b, c, d],
      outputs: { p: matmul(a, b, { transA: true, transB: true }), q: matmul(c, d) },
    });
    expect(countFlops(graph).total).toBe(2 * 3 * 5 * 7 + 2 * 4 * 2 * 8 * 3);
  });
});
