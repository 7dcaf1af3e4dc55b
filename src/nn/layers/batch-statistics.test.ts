import { describe, expect, it } from "vitest";
import { gradients } from "../../autodiff/grad.ts";
import { createOnnxExecutor } from "../../backends/onnx/executor.ts";
import { createReferenceExecutor } from "../../backends/reference/executor.ts";
import { createRng } from "../../base/rng.ts";
import { conv2d, input, mul, scale, stopGradient, sumAll } from "../../graph/build.ts";
import type { Executor } from "../../graph/executor.ts";
import { defineGraph } from "../../graph/graph.ts";
import { isOp, type Value } from "../../graph/value.ts";
import { floatData, floats, type Named, type Tensor } from "../../tensor/tensor.ts";
import { trace } from "../trace.ts";
import { batchNorm } from "./batch-norm.ts";
import { batchStatistics } from "./batch-statistics.ts";

const [n, narrow, wide, size] = [16, 8, 48, 4];
const v = input("v", "float32", [n, narrow, size, size]);
const w = input("w", "float32", [wide, narrow, 1, 1]);
const dy = input("dy", "float32", [n, wide, size, size]);
const module = batchNorm("bn", wide);
const rng = createRng(3);
const random = (value: Value, offset = 0): Tensor =>
  floats(
    value.shape,
    Float32Array.from({ length: value.shape.reduce((a, b) => a * b, 1) }, () => rng.normal() + offset),
  );

/** Output, running statistics and gradients of batch normalisation of an image made of v and w. */
async function normalised(image: Value, executor: Executor, feeds: Named<Tensor>): Promise<Named<Tensor>> {
  const { output, parameters, buffers, nextBuffers } = trace(module, image, "train");
  const wrt = { v, w, weight: parameters["bn.weight"]!, bias: parameters["bn.bias"]! };
  const grads = gradients(sumAll(mul(output, dy)), Object.values(wrt));
  const graph = defineGraph({
    name: "normalised",
    inputs: [v, w, dy, ...Object.values(parameters), ...Object.values(buffers)],
    outputs: { output, ...nextBuffers, ...Object.fromEntries(Object.keys(wrt).map((name, i) => [name, grads[i]!])) },
  });
  await using executable = await executor.compile(graph);
  return await executable.run(feeds);
}

function deviation(actual: Named<Tensor>, expected: Named<Tensor>): number {
  return Math.max(
    ...Object.keys(expected).map((name) => {
      const [a, b] = [floatData(actual[name]!), floatData(expected[name]!)];
      const largest = Math.max(...b.map(Math.abs));
      return Math.max(...b.map((value, i) => Math.abs(value - a[i]!))) / largest;
    }),
  );
}

describe("batchStatistics behind a widening 1x1 convolution", () => {
  const through = conv2d(v, w);
  // The same image, but not recognised as a convolution.
  const direct = scale(through, 1);
  const feeds = (offset: number): Named<Tensor> => ({
    v: random(v, offset),
    w: random(w),
    dy: random(dy),
    "bn.weight": floats(
      [wide],
      Float32Array.from({ length: wide }, () => 1 + rng.normal() / 4),
    ),
    "bn.bias": floats(
      [wide],
      Float32Array.from({ length: wide }, () => rng.normal()),
    ),
    "bn.running_mean": floats([wide], new Float32Array(wide)),
    "bn.running_var": floats([wide], new Float32Array(wide).fill(1)),
  });

  it("are those of its input, carried through the weights", () => {
    const [factor, term] = [input("factor", "float32", [wide]), input("term", "float32", [wide])];
    const [image] = batchStatistics(through).affine(factor, term).operands;
    expect(isOp(image!, "conv2d") && image.operands[0]).toBe(v);
    const behind = stopGradient(through);
    expect(batchStatistics(behind).affine(factor, term).operands[0]).toBe(behind);
  });

  it.each([0, 3])(
    "agree with the direct ones in float64, outputs and gradients (mean of the input %s)",
    async (offset) => {
      const executor = createReferenceExecutor({ precision: "float64" });
      const values = feeds(offset);
      const results = await Promise.all([through, direct].map((image) => normalised(image, executor, values)));
      // What comes out is rounded to float32.
      expect(deviation(results[0]!, results[1]!)).toBeLessThan(3e-7);
    },
  );

  it.each([0, 3])("are no less exact than the direct ones in float32 (mean of the input %s)", async (offset) => {
    const values = feeds(offset);
    const exact = await normalised(direct, createReferenceExecutor({ precision: "float64" }), values);
    const executor = await createOnnxExecutor({ threads: 1 });
    const [ours, usual] = await Promise.all([through, direct].map((image) => normalised(image, executor, values)));
    expect(deviation(ours!, exact)).toBeLessThan(2 * deviation(usual!, exact));
    expect(deviation(ours!, exact)).toBeLessThan(1e-5);
  });
});
