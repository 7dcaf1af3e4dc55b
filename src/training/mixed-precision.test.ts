import { describe, expect, it } from "vitest";
import { gradients } from "../autodiff/grad.ts";
import { createReferenceExecutor } from "../backends/reference/executor.ts";
import { createRng } from "../base/rng.ts";
import { add, conv2d, input, sumAll } from "../graph/build.ts";
import { defineGraph, type Graph } from "../graph/graph.ts";
import { autocast } from "../graph/passes/autocast.ts";
import { airbench } from "../models/airbench.ts";
import { initialWeights } from "../models/model.ts";
import { batchStatistics } from "../nn/layers/batch-statistics.ts";
import { floatData, floats, scalar, type Tensor, tensor } from "../tensor/tensor.ts";
import { airbenchMuon } from "./parameter-groups.ts";
import { buildApplyStep, buildGradStep, buildTrainStep, initialState, type StepOptions } from "./train-step.ts";

const halves = (graph: Graph): string[] =>
  graph.values.filter(({ op, dtype }) => dtype === "float16" && op !== "cast").map(({ op }) => op);

describe("mixed precision", () => {
  it("keeps batch statistics and their gradients whole, where a sum of squares passes 65,504", async () => {
    const x = input("x", "float32", [4, 2, 16, 16]);
    const w1 = input("w1", "float32", [2, 2, 1, 1]);
    const w2 = input("w2", "float32", [64, 2, 1, 1]);
    const { mean, variance } = batchStatistics(conv2d(conv2d(x, w1), w2));
    const [dw1, dw2] = gradients(add(sumAll(variance), sumAll(mean)), [w1, w2]) as [typeof x, typeof x];
    const graph = defineGraph({
      name: "statistics",
      inputs: [x],
      variables: { w1: { current: w1, next: w1 }, w2: { current: w2, next: w2 } },
      outputs: { mean, variance, dw1, dw2 },
    });
    const wave = (shape: readonly number[], size: number, amplitude: number) =>
      floats(
        shape,
        Float32Array.from({ length: size }, (_, i) => amplitude * (1 + Math.sin(i * 0.7))),
      );
    const results = await Promise.all(
      [graph, autocast(graph)].map(async (program) => {
        await using step = await createReferenceExecutor().compile(program);
        step.writeState({ w1: wave([2, 2, 1, 1], 4, 0.5), w2: wave([64, 2, 1, 1], 128, 0.1) });
        return step.run({ x: wave([4, 2, 16, 16], 2048, 20) });
      }),
    );
    expect(graph.values.some(({ op }) => op === "conv2dWeightGrad")).toBe(true);
    for (const name of ["mean", "variance", "dw1", "dw2"]) {
      const [full, mixed] = results.map((result) => floatData(result[name]!)) as [Float32Array, Float32Array];
      const largest = Math.max(...full.map(Math.abs));
      expect(Math.max(...full.map((value, i) => Math.abs(value - mixed[i]!))) / largest, name).toBeLessThan(5e-3);
    }
  });

  const model = airbench({ classes: 3, height: 17, width: 17, widthFactor: 1 / 16 });
  const batchSize = 4;
  const options = {
    model,
    optimizer: airbenchMuon(model, { batchSize, totalSteps: 10, whiteningBiasSteps: 5 }),
    batchSize,
    images: { mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2] },
    reduction: "sum",
    precision: "mixed",
  } as const satisfies StepOptions;

  it("computes updates whole, in the whole step as in the apply step", () => {
    const products = (graph: Graph) => graph.values.filter(({ op, attrs }) => op === "matmul" && "precision" in attrs);
    const [whole, grad, apply] = [buildTrainStep, buildGradStep, buildApplyStep].map((build) => build(options));
    expect(halves(apply!)).toEqual([]);
    expect(halves(whole!)).toEqual(halves(grad!));
    expect(halves(whole!)).toContain("conv2dWeightGrad");
    expect(products(whole!)).toHaveLength(products(apply!).length);
    expect(products(whole!).length).toBeGreaterThan(0);
    for (const { dtype } of products(whole!)) expect(dtype).toBe("float32");
  });

  it("takes a training step close to that of single precision", async () => {
    const rng = createRng(4);
    const noise = floats(
      [4, 3, 17, 17],
      Float32Array.from({ length: 4 * 3 * 289 }, () => rng.uniform() - 0.5),
    );
    const state = initialState(options, initialWeights(model, createRng(1), noise));
    const bytes = Uint8Array.from({ length: 4 * 3 * 289 }, () => rng.int(256));
    const graph = buildTrainStep(options);
    const scalars = options.optimizer.scalarsAt(0);
    const given: Record<string, Tensor> = {
      images: tensor("uint8", [4, 3, 17, 17], bytes),
      labels: tensor("int32", [4], Int32Array.of(0, 1, 2, 0)),
    };
    const feeds = Object.fromEntries(
      Object.keys(graph.inputs).map((name) => [name, given[name] ?? scalar(scalars[name]!)]),
    );
    const steps = await Promise.all(
      [graph, buildTrainStep({ ...options, precision: "float32" })].map(async (program) => {
        await using step = await createReferenceExecutor().compile(program);
        step.writeState(state);
        const { loss, gradientNorm } = await step.run(feeds);
        return { loss: floatData(loss!)[0]!, norm: floatData(gradientNorm!)[0]!, after: step.readState() };
      }),
    );
    const [mixed, full] = steps as [(typeof steps)[0], (typeof steps)[0]];
    expect(mixed.loss / full.loss).toBeCloseTo(1, 2);
    expect(mixed.norm / full.norm).toBeCloseTo(1, 1);
    for (const [name, value] of Object.entries(mixed.after)) {
      expect(floatData(value).every(Number.isFinite), name).toBe(true);
    }
  });
});
