import { describe, expect, it } from "vitest";
import { createRng, type Rng } from "../base/rng.ts";
import { countFlops } from "../graph/flops.ts";
import { verifyGraph } from "../graph/verify.ts";
import { type BufferSpec, initialValues, type ParameterSpec } from "../nn/parameter.ts";
import { sizeOf } from "../tensor/shape.ts";
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
  // torchvision's with num_classes=10, by scripts/goldens/torchvision_models.py.
  mobilenet_v3_small: 1_528_106,
  mobilenet_v3_large: 4_214_842,
  efficientnet_b0: 4_020_358,
  efficientnet_b1: 6_525_994,
  efficientnet_b2: 7_715_084,
  efficientnet_b3: 10_711_602,
  efficientnet_b4: 17_566_546,
  efficientnet_b5: 28_361_274,
  efficientnet_b6: 40_758_754,
  efficientnet_b7: 63_812_570,
  efficientnet_v2_s: 20_190_298,
  efficientnet_v2_m: 52_871_166,
  efficientnet_v2_l: 117_247_082,
  resnet18: 11_181_642,
  resnet50: 23_528_522,
  densenet121: 6_964_106,
  densenet161: 26_494_090,
  densenet169: 12_501_130,
  densenet201: 18_112_138,
  regnet_x_400mf: 5_098_986,
  regnet_x_800mf: 6_593_386,
  regnet_x_1_6gf: 8_286_266,
  regnet_x_3_2gf: 14_297_642,
  regnet_x_8gf: 37_670_858,
  regnet_x_16gf: 52_250_026,
  regnet_x_32gf: 105_315_770,
  regnet_y_400mf: 3_907_554,
  regnet_y_800mf: 5_655_362,
  regnet_y_1_6gf: 10_322_320,
  regnet_y_3_2gf: 17_938_468,
  regnet_y_8gf: 37_384_642,
  regnet_y_16gf: 80_595_390,
  regnet_y_32gf: 141_370_900,
} satisfies Record<keyof typeof models, number>;

const bytes = (value: Tensor | undefined): Buffer => Buffer.from(value!.data.buffer);

function expectSeeded(
  specs: readonly (ParameterSpec | BufferSpec)[],
  valuesOf: (rng: Rng) => Record<string, Tensor>,
): void {
  const [a, b, c] = [5, 5, 6].map((seed) => valuesOf(createRng(seed)));
  const names = specs.map(({ name }) => name);
  expect(Object.keys(a!).sort()).toEqual(names.sort());
  for (const name of names) expect(bytes(a![name]).equals(bytes(b![name])), name).toBe(true);
  const linear = specs.filter((spec) => "kind" in spec && spec.kind === "linear");
  expect(linear.length).toBeGreaterThan(0);
  for (const { name } of linear) expect(bytes(a![name]).equals(bytes(c![name])), name).toBe(false);
}

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
    if (factory.inputSize > 32) {
      // Every parameter has a random stream of its own, so a part of a large network stands for it.
      const part = [...model.module.parameters, ...model.module.buffers].filter(({ shape }) => sizeOf(shape) < 4e4);
      expect(part.length).toBeGreaterThan(80);
      expectSeeded(part, (rng) => initialValues(part, rng));
      return;
    }
    const sample = floats(
      [2, 3, 32, 32],
      Float32Array.from({ length: 2 * 3 * 1024 }, (_, i) => Math.sin(i * i)),
    );
    const all = [...model.module.parameters, ...model.module.buffers];
    expectSeeded(all, (rng) => initialWeights(model, rng, sample));
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
