import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createRng } from "../base/rng.ts";
import { configSchema } from "../config/schema.ts";
import { writeBundle } from "../inference/bundle.ts";
import { initialWeights } from "../models/model.ts";
import { encodeSafetensors } from "../tensor/safetensors.ts";
import { configuredModel } from "./configured-model.ts";
import { configuredWeights } from "./configured-weights.ts";
import { emptyReference } from "./drift-reference.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "weights-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const configOf = (weights: string, name = "mobilenet_v2", mode = "classifier_only") =>
  configSchema.parse({
    model: { name, width: name === "mobilenet_v2" ? 0.1 : 1, weights, transfer_mode: mode, weights_dir: folder },
  });
const modelOf = (config: ReturnType<typeof configOf>, classes = 3) =>
  configuredModel(config, { classes, height: 32, width: 32 });

describe("configuredWeights", () => {
  it("takes a bundle of ours, with the normalisation that it was trained with", async () => {
    const directory = join(folder, "bundle");
    const config = configOf(directory, "mobilenet_v2", "fine_tune");
    const model = modelOf(config);
    const weights = initialWeights(model, createRng(1));
    await writeBundle({
      directory,
      modelBytes: Uint8Array.of(1),
      weights,
      metadata: {
        ...{ formatVersion: 1, name: "bundle", createdAt: new Date(0).toISOString() },
        model: { architecture: model.name, parameterCount: 1, inputName: "images", outputName: "logits" },
        classes: ["a", "b", "c"],
        preprocessing: { height: 32, width: 32, resize: "bilinear", mean: [0.1, 0.2, 0.3], std: [0.4, 0.5, 0.6] },
        dataset: { name: "cifar10", synthetic: false, digest: "0".repeat(64) },
        metrics: {},
        calibration: { temperature: 1 },
        reference: emptyReference(3),
        training: { seed: 1, epochs: 1, config: {} },
      },
    });
    const found = await configuredWeights(config, model);
    expect(found).toMatchObject({ mean: [0.1, 0.2, 0.3], std: [0.4, 0.5, 0.6], replaced: [] });
    expect(found!.weights).toEqual(weights);
    // Of another number of classes, the last layer begins anew.
    expect((await configuredWeights(config, modelOf(config, 7)))!.replaced).toEqual([
      "classifier.1.weight",
      "classifier.1.bias",
    ]);
  });

  it("takes a file by path to be normalised as the architecture's published weights", async () => {
    for (const [name, mean] of [
      ["mobilenet_v2", [0.485, 0.456, 0.406]],
      ["efficientnet_v2_l", [0.5, 0.5, 0.5]],
    ] as const) {
      const path = join(folder, "any.safetensors");
      const config = configOf(path, name);
      // The big one is never built: its name is what counts.
      const model = { ...modelOf(configOf(path)), name };
      await writeFile(path, encodeSafetensors({ tensors: initialWeights(model, createRng(1)), metadata: {} }));
      expect((await configuredWeights(config, model))!.mean).toEqual(mean);
    }
  });

  it("reports all that does not fit before anything is trained", async () => {
    const path = join(folder, "short.safetensors");
    const config = configOf(path);
    const model = modelOf(config);
    const { "features.0.0.weight": stem, ...rest } = initialWeights(model, createRng(1));
    await writeFile(path, encodeSafetensors({ tensors: { ...rest, stray: stem! }, metadata: {} }));
    await expect(configuredWeights(config, model)).rejects.toMatchObject({
      code: "WEIGHTS_MISMATCH",
      details: { missing: ["features.0.0.weight"], unexpected: ["stray"], misshaped: [] },
    });
  });

  it("knows where nothing is published", async () => {
    const config = configOf("imagenet", "resnet9");
    await expect(configuredWeights(config, modelOf(config))).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });
});
