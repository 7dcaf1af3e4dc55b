import { describe, expect, it, vi } from "vitest";
import { exportInferenceModel } from "../../src/backends/onnx/export.ts";
import { loadInferenceModel } from "../../src/backends/onnx/inference-model.ts";
import { readModel } from "../../src/backends/onnx/read-model.ts";
import { createRng } from "../../src/base/rng.ts";
import { buildInferenceGraph, initialWeights } from "../../src/models/model.ts";
import { floatData, floats, type Tensor } from "../../src/tensor/tensor.ts";
import { testedArchitectures } from "./tested-architectures.ts";

// Large networks are folded twice.
vi.setConfig({ testTimeout: 240_000 });

const size = 32;
const classes = 7;
const images = floats(
  [3, 3, size, size],
  Float32Array.from({ length: 9 * size * size }, (_, i) => Math.sin(i * 0.37) + Math.cos(i * i)),
);

describe("a model that is exported and read back", () => {
  it.each(testedArchitectures)("gives the logits of $name", async (factory) => {
    const model = factory.build({ classes, height: size, width: size });
    const sample = floats(
      [64, 3, size, size],
      Float32Array.from({ length: 64 * 3 * size * size }, (_, i) => Math.sin(i * i)),
    );
    const bytes = await exportInferenceModel(
      buildInferenceGraph(model, { batch: 2 }),
      initialWeights(model, createRng(3), sample),
    );
    const read = readModel(bytes, { batch: 2 });
    expect(read).toMatchObject({ height: size, width: size, classes, ending: "logits", outputName: "logits" });
    const again = await exportInferenceModel(read.graph, read.weights);
    const [expected, actual] = [await logitsOf(bytes), await logitsOf(again)];
    const largest = expected.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    expect(largest).toBeGreaterThan(0);
    const difference = expected.reduce((max, value, i) => Math.max(max, Math.abs(value - actual[i]!)), 0);
    expect(difference / largest).toBeLessThan(1e-5);
  });
});

async function logitsOf(bytes: Uint8Array): Promise<Float32Array> {
  await using model = await loadInferenceModel(bytes);
  const { logits } = await model.run({ images } satisfies Record<string, Tensor>);
  return floatData(logits!);
}
