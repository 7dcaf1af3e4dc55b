import { describe, expect, it } from "vitest";
import { createRng } from "../base/rng.ts";
import { initialWeights } from "../models/model.ts";
import { models } from "../models/registry.ts";
import { fitWeights } from "./fit-weights.ts";

const build = (classes: number) => models.mobilenet_v2.build({ classes, widthFactor: 0.1, height: 32, width: 32 });
const tensors = initialWeights(build(20), createRng(1));
const { "features.0.0.weight": stem, ...withoutStem } = tensors;

describe("fitWeights", () => {
  it("takes every tensor by name", () => {
    const { weights, replaced } = fitWeights({ model: build(20), tensors, want: "all" });
    expect(replaced).toEqual([]);
    expect(Object.keys(weights).sort()).toEqual(Object.keys(tensors).sort());
    expect(weights["features.0.0.weight"]).toBe(stem);
  });

  it("reports everything that is missing, unexpected or of another shape", () => {
    const wrong = { ...withoutStem, extra: stem!, "features.0.1.bias": stem! };
    const error = fit(() => fitWeights({ model: build(20), tensors: wrong, want: "all" }));
    expect(error).toMatchObject({
      code: "WEIGHTS_MISMATCH",
      details: {
        missing: ["features.0.0.weight"],
        unexpected: ["extra"],
        misshaped: [expect.stringMatching(/features\.0\.1\.bias/)],
      },
    });
  });

  it("replaces the classifier of another number of classes only where that is asked for", () => {
    expect(fit(() => fitWeights({ model: build(10), tensors, want: "all" }))).toMatchObject({
      code: "WEIGHTS_MISMATCH",
    });
    const { weights, replaced } = fitWeights({ model: build(10), tensors, want: "replaceable classifier" });
    expect(replaced).toEqual(["classifier.1.weight", "classifier.1.bias"]);
    expect(weights["classifier.1.weight"]).toBeUndefined();
    const same = fitWeights({ model: build(20), tensors, want: "replaceable classifier" });
    expect(same.replaced).toEqual([]);
  });

  it("never replaces a classifier for features of another size", () => {
    const wide = models.mobilenet_v2.build({ classes: 10, widthFactor: 2, height: 32, width: 32 });
    const file = { ...initialWeights(wide, createRng(1)), "classifier.1.weight": tensors["classifier.1.weight"]! };
    expect(fit(() => fitWeights({ model: wide, tensors: file, want: "replaceable classifier" }))).toMatchObject({
      details: { misshaped: [expect.stringMatching(/classifier\.1\.weight \[20,1280\] instead of \[10,2560\]/)] },
    });
  });

  it("needs nothing but the stages for frozen features", () => {
    const { "classifier.1.weight": _w, "classifier.1.bias": _b, ...stages } = tensors;
    const { weights, replaced } = fitWeights({ model: build(10), tensors: stages, want: "stages" });
    expect(Object.keys(weights).sort()).toEqual(Object.keys(stages).sort());
    expect(replaced).toEqual(["classifier.1.weight", "classifier.1.bias"]);
    const withOtherHead = { ...stages, "classifier.0.weight": stem! };
    expect(fitWeights({ model: build(10), tensors: withOtherHead, want: "stages" }).replaced).toEqual(replaced);
    expect(fit(() => fitWeights({ model: build(10), tensors: withoutStem, want: "stages" }))).toMatchObject({
      details: { missing: ["features.0.0.weight"] },
    });
  });

  it("knows the names of DenseNet's published files", () => {
    const model = models.densenet121.build({ classes: 2, height: 32, width: 32 });
    const current = initialWeights(model, createRng(1));
    const published = Object.fromEntries(
      Object.entries(current).map(([name, tensor]) => [
        name.replace(/(denselayer\d+\.(?:norm|conv))([12])/, "$1.$2"),
        tensor,
      ]),
    );
    expect(Object.keys(published)).toContain("features.denseblock1.denselayer1.norm.1.weight");
    expect(fitWeights({ model, tensors: published, want: "all" }).weights).toEqual(current);
  });
});

/** The error that `call` throws, its details as patterns can match them. */
function fit(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  return undefined;
}
