import { join } from "node:path";
import { exportInferenceModel } from "../../dist/backends/onnx/export.js";
import { createRng } from "../../dist/base/rng.js";
import { writeBundle } from "../../dist/inference/bundle.js";
import { buildInferenceGraph, initialWeights, parameterCount } from "../../dist/models/model.js";
import { models } from "../../dist/models/registry.js";

export const classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/** A bundle of a network with random weights: the time of an answer does not depend on them. The peer loads the same. */
export async function makeBundle(root, { network, size, version = "20260101-000000", seed = 1 }) {
  const model = models[network].build({ classes: classes.length, height: size, width: size, dropoutRate: 0 });
  const weights = initialWeights(model, createRng(seed));
  const modelBytes = await exportInferenceModel(buildInferenceGraph(model, { batch: 2 }), weights);
  const name = `${network}_bench_${version}`;
  return writeBundle({
    directory: join(root, name),
    modelBytes,
    weights,
    metadata: {
      formatVersion: 1,
      name,
      createdAt: "2026-01-01T00:00:00.000Z",
      model: {
        architecture: network,
        parameterCount: parameterCount(model),
        inputName: "images",
        outputName: "logits",
      },
      classes,
      preprocessing: {
        height: size,
        width: size,
        resize: "bilinear",
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
      },
      dataset: { name: "random", synthetic: true, digest: "0".repeat(64) },
      metrics: {},
      calibration: { temperature: 1 },
      reference: {
        count: 0,
        classFrequency: classes.map(() => 0),
        meanConfidence: 0,
        confidenceHistogram: new Array(20).fill(0),
      },
      training: { seed: 1, epochs: 0, config: {} },
    },
  });
}
