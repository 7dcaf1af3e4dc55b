import { describe, expect, it } from "vitest";
import golden from "../../../tests/goldens/optim.json" with { type: "json" };
import { gradients } from "../../autodiff/grad.ts";
import { createReferenceExecutor } from "../../backends/reference/executor.ts";
import { input, mul, sumAll } from "../../graph/build.ts";
import { defineGraph } from "../../graph/graph.ts";
import type { Value } from "../../graph/value.ts";
import { floats, type Named, type Tensor, tensor } from "../../tensor/tensor.ts";
import { correctCount, crossEntropy } from "../losses.ts";
import { trace } from "../trace.ts";
import { batchNorm } from "./batch-norm.ts";
import { conv2d } from "./conv.ts";
import { linear } from "./linear.ts";
import { dropout } from "./pointwise.ts";

async function evaluate(inputs: Value<"input">[], outputs: Named<Value>, feeds: Named<Tensor>) {
  await using executable = await createReferenceExecutor().compile(defineGraph({ name: "test", inputs, outputs }));
  return executable.run(feeds);
}

function expectClose(actual: Tensor | undefined, expected: readonly number[], digits: number, what: string): void {
  expect(actual!.data.length).toBe(expected.length);
  expected.forEach((value, i) => {
    expect(actual!.data[i], `${what}[${i}]`).toBeCloseTo(value, digits);
  });
}

describe("batchNorm", () => {
  const { inputs } = golden.batchNorm;
  const module = batchNorm("bn", 3, { momentum: 0.4 });
  const feeds = {
    x: floats(inputs.x.shape, inputs.x.data),
    dy: floats(inputs.dy.shape, inputs.dy.data),
    "bn.weight": floats([3], inputs.weight.data),
    "bn.bias": floats([3], inputs.bias.data),
    "bn.running_mean": floats([3], inputs.running_mean.data),
    "bn.running_var": floats([3], inputs.running_var.data),
  };
  const x = input("x", "float32", inputs.x.shape);
  const dy = input("dy", "float32", inputs.dy.shape);

  it("trains as PyTorch: output, running statistics (unbiased variance) and gradients", async () => {
    const { output, parameters, buffers, nextBuffers } = trace(module, x, "train");
    const [dx, dweight, dbias] = gradients(sumAll(mul(output, dy)), [
      x,
      parameters["bn.weight"]!,
      parameters["bn.bias"]!,
    ]);
    const results = await evaluate(
      [x, dy, ...Object.values(parameters), ...Object.values(buffers)],
      {
        output,
        mean: nextBuffers["bn.running_mean"]!,
        var: nextBuffers["bn.running_var"]!,
        dx: dx!,
        dweight: dweight!,
        dbias: dbias!,
      },
      feeds,
    );
    expectClose(results.output, golden.batchNorm.train, 5, "y");
    expectClose(results.mean, golden.batchNorm.running_mean, 5, "running_mean");
    expectClose(results.var, golden.batchNorm.running_var, 4, "running_var");
    expectClose(results.dx, golden.batchNorm.dx, 4, "dx");
    expectClose(results.dweight, golden.batchNorm.dweight, 4, "dweight");
    expectClose(results.dbias, golden.batchNorm.dbias, 4, "dbias");
  });

  it("evaluates as PyTorch and keeps the running statistics", async () => {
    const { output, parameters, buffers, nextBuffers } = trace(module, x, "eval");
    const { dy: _, ...rest } = feeds;
    const results = await evaluate([x, ...Object.values(parameters), ...Object.values(buffers)], { output }, rest);
    expectClose(results.output, golden.batchNorm.eval, 5, "y");
    expect(nextBuffers["bn.running_mean"]).toBe(buffers["bn.running_mean"]);
  });

  it("stays finite on constant channels, even with a tiny eps", async () => {
    const flat = trace(batchNorm("bn", 3, { eps: 1e-12, scale: "frozen" }), x, "train");
    const constant = floats(inputs.x.shape, new Float32Array(inputs.x.data.length).fill(7));
    const [dx] = gradients(sumAll(mul(flat.output, dy)), [x]);
    const results = await evaluate(
      [x, dy, ...Object.values(flat.parameters), ...Object.values(flat.buffers)],
      { output: flat.output, dx: dx! },
      {
        x: constant,
        dy: feeds.dy,
        "bn.bias": feeds["bn.bias"],
        "bn.running_mean": feeds["bn.running_mean"],
        "bn.running_var": feeds["bn.running_var"],
      },
    );
    expect(Array.from(results.output!.data).every(Number.isFinite)).toBe(true);
    expect(Array.from(results.dx!.data).every(Number.isFinite)).toBe(true);
  });
});

describe("crossEntropy", () => {
  const { logits, labels, cases } = golden.crossEntropy;
  it.each(cases)("equals PyTorch with smoothing $labelSmoothing, $reduction", async (expected) => {
    const l = input("logits", "float32", logits.shape);
    const t = input("labels", "int32", [labels.length]);
    const { labelSmoothing } = expected;
    const loss = crossEntropy(l, t, { labelSmoothing, reduction: expected.reduction as "mean" | "sum" });
    const [gradient] = gradients(loss, [l]);
    const results = await evaluate(
      [l, t],
      { loss, gradient: gradient!, correct: correctCount(l, t) },
      {
        logits: floats(logits.shape, logits.data),
        labels: tensor("int32", [labels.length], Int32Array.from(labels)),
      },
    );
    expect(results.loss!.data[0]).toBeCloseTo(expected.loss, 4);
    expectClose(results.gradient, expected.gradient, 6, "gradient");
    const correct = labels.filter((label, n) => {
      const row = logits.data.slice(n * 10, n * 10 + 10);
      return row.indexOf(Math.max(...row)) === label;
    }).length;
    expect(results.correct!.data[0]).toBe(correct);
  });

  it("refuses smoothing outside 0..1", () => {
    const l = input("logits", "float32", [1, 2]);
    expect(() => crossEntropy(l, input("labels", "int32", [1]), { labelSmoothing: 1 })).toThrow(/smoothing 1/);
  });
});

describe("linear and conv2d", () => {
  it("add their bias along the channels", async () => {
    const x = input("x", "float32", [1, 2, 1, 1]);
    const { output, parameters } = trace(
      conv2d("c", { inChannels: 2, outChannels: 2, kernel: 1, bias: "trained" }),
      x,
      "eval",
    );
    const results = await evaluate(
      [x, ...Object.values(parameters)],
      { output },
      {
        x: floats([1, 2, 1, 1], [3, 5]),
        "c.weight": floats([2, 2, 1, 1], [1, 2, 3, 4]),
        "c.bias": floats([2], [10, 20]),
      },
    );
    expect(Array.from(results.output!.data)).toEqual([23, 49]);
    const v = input("x", "float32", [1, 2]);
    const dense = trace(linear("l", { inFeatures: 2, outFeatures: 2 }), v, "eval");
    const product = await evaluate(
      [v, ...Object.values(dense.parameters)],
      { output: dense.output },
      {
        x: floats([1, 2], [3, 5]),
        "l.weight": floats([2, 2], [1, 2, 3, 4]),
        "l.bias": floats([2], [10, 20]),
      },
    );
    expect(Array.from(product.output!.data)).toEqual([23, 49]);
  });
});

describe("dropout", () => {
  const x = input("x", "float32", [1, 4]);
  it("drops where the uniform number is below the rate and scales the rest", async () => {
    const { output, uniforms } = trace(dropout("d", 0.5), x, "train");
    const results = await evaluate(
      [x, ...uniforms],
      { output },
      {
        x: floats([1, 4], [1, 2, 3, 4]),
        "uniforms/d": floats([1, 4], [0.1, 0.6, 0.49, 0.9]),
      },
    );
    expect(Array.from(results.output!.data)).toEqual([0, 4, 0, 8]);
  });
  it("does nothing in evaluation or at rate 0", () => {
    expect(trace(dropout("d", 0.5), x, "eval").output).toBe(x);
    expect(trace(dropout("d", 0), x, "train").output).toBe(x);
  });
  it("refuses a rate of 1", () => {
    expect(() => dropout("d", 1)).toThrow(/rate 1/);
  });
});
