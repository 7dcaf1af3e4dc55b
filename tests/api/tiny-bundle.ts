import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Bundle, writeBundle } from "../../src/inference/bundle.ts";
import type { BundleMetadata } from "../../src/inference/bundle-metadata.ts";

export const tinyModel = new URL("../fixtures/tiny.onnx", import.meta.url);

export const cifarClasses = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/** Metadata that fits tests/fixtures/tiny.onnx. */
export function tinyMetadata(overrides: Partial<BundleMetadata> = {}): Omit<BundleMetadata, "modelSha256"> {
  return {
    formatVersion: 1,
    name: "tiny_trainer_20260101-000000",
    createdAt: "2026-01-01T00:00:00.000Z",
    model: { architecture: "tiny", parameterCount: 314, inputName: "images", outputName: "logits" },
    classes: cifarClasses,
    preprocessing: {
      height: 32,
      width: 32,
      resize: "bilinear",
      mean: [0.4914, 0.4822, 0.4465],
      std: [0.247, 0.2435, 0.2616],
    },
    dataset: { name: "cifar10", synthetic: false, digest: "0".repeat(64) },
    metrics: {
      validation: { accuracy: 0.934, loss: 0.31, macroF1: 0.933 },
      test: { accuracy: 0.931, loss: 0.33, macroF1: 0.93, accuracyWithTta: 0.938 },
    },
    calibration: { temperature: 1.5 },
    reference: {
      count: 5000,
      classFrequency: cifarClasses.map(() => 0.1),
      meanConfidence: 0.9,
      confidenceHistogram: new Array<number>(20).fill(250),
    },
    training: { seed: 1, epochs: 1, config: {} },
    ...overrides,
  };
}

/** Writes a bundle of the tiny model below `root`. */
export async function writeTinyBundle(root: string, overrides: Partial<BundleMetadata> = {}): Promise<Bundle> {
  const metadata = tinyMetadata(overrides);
  return writeBundle({ directory: join(root, metadata.name), modelBytes: await readFile(tinyModel), metadata });
}
