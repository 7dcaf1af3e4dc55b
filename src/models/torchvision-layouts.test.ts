import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { openGolden } from "../../tests/goldens/golden-file.ts";
import { input } from "../graph/build.ts";
import { trace } from "../nn/trace.ts";
import { densenets } from "./densenet.ts";
import { buildInferenceGraph, type Model, parameterCount } from "./model.ts";
import { models } from "./registry.ts";
import { regnets } from "./regnet.ts";
import { resnets } from "./resnet.ts";
import type { StemOptions } from "./stem.ts";

interface Layout {
  readonly parameters1000: number;
  readonly tensors: number;
  /** SHA-256 of the lines "NAME SHAPE", parameters and then buffers in torchvision's order, at 1000 classes. */
  readonly digest: string;
}

const { layouts } = openGolden<{ readonly layouts: Readonly<Record<string, Layout>> }>("torchvision-models").index;
const { resnet9: _, airbench: __, ...published } = models;
const factories = Object.values(published);

describe.each(factories)("$name", (factory) => {
  const linesOf = ({ module }: Model): string[] =>
    [...module.parameters, ...module.buffers].map(({ name, shape }) => `${name} ${shape.join("x")}`);
  const { parameters1000, tensors, digest } = layouts[factory.name]!;

  it.each([224, 32])("has torchvision's names and shapes in its order at %d pixels", (size) => {
    const model = factory.build({ classes: 1000, height: size, width: size });
    const lines = linesOf(model);
    expect(lines).toHaveLength(tensors);
    expect(createHash("sha256").update(lines.join("\n")).digest("hex")).toBe(digest);
    expect(parameterCount(model)).toBe(parameters1000);
  });

  it("shrinks a published image by 32 and a small one by 8", () => {
    const finalSize = (size: number, options: Pick<StemOptions, "stemStride"> = {}): number => {
      const model = factory.build({ classes: 10, height: size, width: size, ...options });
      const { values } = buildInferenceGraph(model, { batch: 1 });
      return values.filter(({ op }) => op === "conv2d").at(-1)!.shape[2]!;
    };
    expect(finalSize(224)).toBe(7);
    expect(finalSize(64)).toBe(2);
    expect(finalSize(32)).toBe(4);
    expect(finalSize(32, { stemStride: 2 })).toBe(1);
    expect(finalSize(64, { stemStride: 1 })).toBe(8);
    expect(finalSize(40)).toBe(5);
  });
});

describe.each([
  ["resnet18", resnets.resnet18, "conv1.weight"],
  ["densenet121", densenets.densenet121, "features.conv0.weight"],
] as const)("%s", (_, factory, name) => {
  it("has a smaller first filter where it is asked for, and keeps everything else", () => {
    const specs = (stemKernel: 3 | 7) =>
      factory.build({ classes: 10, height: 32, width: 32, stemKernel }).module.parameters;
    const changed = specs(3).filter(({ shape }, i) => shape.join() !== specs(7)[i]!.shape.join());
    expect(changed.map((spec) => [spec.name, spec.shape])).toEqual([[name, [64, 3, 3, 3]]]);
  });
});

it.each([resnets.resnet18, densenets.densenet121, regnets.regnet_x_400mf])(
  "$name drops features before the classifier only where it is told to",
  (factory) => {
    const uniforms = (options: { readonly dropoutRate?: number }) =>
      trace(
        factory.build({ classes: 10, height: 32, width: 32, ...options }).module,
        input("images", "float32", [2, 3, 32, 32]),
        "train",
      ).uniforms.map(({ shape }) => shape);
    expect(uniforms({ dropoutRate: 0.3 })).toEqual([[2, expect.any(Number)]]);
    expect(uniforms({})).toEqual([]);
  },
);
