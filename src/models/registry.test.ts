import { describe, expect, it } from "vitest";
import { createRng } from "../base/rng.ts";
import { countFlops } from "../graph/flops.ts";
import { verifyGraph } from "../graph/verify.ts";
import { floats, type Tensor } from "../tensor/tensor.ts";
import { buildInferenceGraph, initialWeights, parameterCount } from "./model.ts";
import { models } from "./registry.ts";

/** Parameters by hand from the descriptions: "6.6 M" and "1.97 M" in the sources. */
const published = {
  // 3*64*9 + 64*128*9 + 2*128^2*9 + 128*256*9 + 256*512*9 + 2*512^2*9, twice 2240 for norms, 512*10 + 10.
  resnet9: 6_573_130,
  // 288 + 24, (24*64 + 64^2 + 64*256 + 3 * 256^2) * 9, 2*64 + 4*256 norm biases, 256*10.
  airbench: 1_971_640,
  // torchvision.models.mobilenet_v2(num_classes=10): 3,504,872 less 990 rows of 1281.
  mobilenet_v2: 2_236_682,
} satisfies Record<keyof typeof models, number>;

const bytes = (value: Tensor | undefined): Buffer => Buffer.from(value!.data.buffer);

describe.each(Object.entries(models))("model %s", (key, factory) => {
  const model = factory.build({ classes: 10 });

  it("is registered under its own name", () => {
    expect(factory.name).toBe(key);
    expect(model.name).toBe(key);
    expect([model.height, model.width]).toEqual([factory.inputSize, factory.inputSize]);
  });

  it("computes one logit a class", () => {
    const graph = buildInferenceGraph(factory.build({ classes: 7 }), { batch: 3 });
    verifyGraph(graph);
    expect(graph.outputs.logits?.shape).toEqual([3, 7]);
    expect(Object.keys(graph.inputs)).toEqual(["images"]);
  });

  it("has the published number of parameters", () => {
    expect(parameterCount(model)).toBe(published[key as keyof typeof models]);
  });

  it("gives the same weights for the same seed and others for another", () => {
    const sample = floats(
      [2, 3, 32, 32],
      Float32Array.from({ length: 2 * 3 * 1024 }, (_, i) => Math.sin(i * i)),
    );
    const [a, b, c] = [5, 5, 6].map((seed) => initialWeights(model, createRng(seed), sample));
    const names = [...model.module.parameters, ...model.module.buffers].map(({ name }) => name);
    expect(Object.keys(a!).sort()).toEqual(names.sort());
    for (const name of names) expect(bytes(a![name]).equals(bytes(b![name])), name).toBe(true);
    for (const { name, kind } of model.module.parameters) {
      if (kind === "linear") expect(bytes(a![name]).equals(bytes(c![name])), name).toBe(false);
    }
  });

  it("names parameters and buffers uniquely", () => {
    const names = [...model.module.parameters, ...model.module.buffers].map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });

  it("counts FLOPs in proportion to the batch", () => {
    const flops = (batch: number) => countFlops(buildInferenceGraph(model, { batch })).total;
    expect(flops(4)).toBe(4 * flops(1));
  });
});
