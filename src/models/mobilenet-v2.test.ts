import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { input } from "../graph/build.ts";
import type { Value } from "../graph/value.ts";
import { trace } from "../nn/trace.ts";
import { type MobileNetV2Options, mobilenetV2 } from "./mobilenet-v2.ts";
import { buildInferenceGraph, parameterCount } from "./model.ts";

const namesAndShapes = (options: MobileNetV2Options): string[] => {
  const { parameters, buffers } = mobilenetV2(options).module;
  return [...parameters, ...buffers].map(({ name, shape }) => `${name} ${shape.join("x")}`).sort();
};

/** [channels, height] of the results of all dense convolutions, in order. */
const sizes = (options: MobileNetV2Options): string[] =>
  (buildInferenceGraph(mobilenetV2(options), { batch: 1 }).values as readonly Value[])
    .filter(({ op }) => op === "conv2d")
    .map(({ shape }) => `${shape[1]}@${shape[2]}`);

describe("mobilenetV2", () => {
  // Counts and names from torchvision 0.29: models.mobilenet_v2(width_mult=…, num_classes=…).
  it.each([
    [{ classes: 1000 }, 3_504_872],
    [{ classes: 10 }, 2_236_682],
    [{ classes: 1000, widthFactor: 0.5 }, 1_968_680],
    [{ classes: 1000, widthFactor: 1.4 }, 6_108_776],
    [{ classes: 1000, height: 224, width: 224 }, 3_504_872],
  ])("%j has as many parameters as torchvision's", (options, count) => {
    expect(parameterCount(mobilenetV2(options))).toBe(count);
  });

  it("has torchvision's names and shapes", () => {
    const all = namesAndShapes({ classes: 1000 });
    expect(all).toEqual(
      expect.arrayContaining([
        "features.0.0.weight 32x3x3x3",
        "features.0.1.running_var 32",
        "features.1.conv.0.0.weight 32x1x3x3",
        "features.1.conv.1.weight 16x32x1x1",
        "features.2.conv.1.0.weight 96x1x3x3",
        "features.17.conv.3.bias 320",
        "features.18.0.weight 1280x320x1x1",
        "classifier.1.weight 1000x1280",
      ]),
    );
    expect(all).toHaveLength(262);
    // Of the sorted lines "NAME SHAPE" of its state_dict() without num_batches_tracked.
    expect(createHash("sha256").update(all.join("\n")).digest("hex")).toBe(
      "1f27e3d93ac9d0ffc61ab3e5b356f06d46d13af45ee9477b17ec86faa53c5379",
    );
  });

  it("shrinks a published image by 32 and a small one by 8", () => {
    const published = sizes({ classes: 10, height: 224, width: 224 });
    expect([published[0], published[2], published.at(-1)]).toEqual(["32@112", "16@112", "1280@7"]);
    const small = sizes({ classes: 10, height: 32, width: 32 });
    expect([small[0], small[2], small[5], small[11], small.at(-1)]).toEqual([
      "32@32",
      "16@32",
      "24@32",
      "32@16",
      "1280@4",
    ]);
    expect(sizes({ classes: 10, height: 32, width: 32, stemStride: 2 }).at(-1)).toBe("1280@1");
  });

  it("drops features before the classifier in training, at the published rate unless told otherwise", () => {
    const uniforms = (options: Partial<MobileNetV2Options>) =>
      trace(
        mobilenetV2({ classes: 10, widthFactor: 0.25, ...options }).module,
        input("images", "float32", [2, 3, 32, 32]),
        "train",
      ).uniforms.map(({ shape }) => shape);
    expect(uniforms({})).toEqual([[2, 1280]]);
    expect(uniforms({ dropoutRate: 0 })).toEqual([]);
  });
});
