import { describe, expect, it } from "vitest";
import { exportInferenceModel } from "../../src/backends/onnx/export.ts";
import { loadInferenceModel } from "../../src/backends/onnx/inference-model.ts";
import { buildInferenceGraph } from "../../src/models/model.ts";
import { models } from "../../src/models/registry.ts";
import { floats } from "../../src/tensor/tensor.ts";
import { fitWeights } from "../../src/weights/fit-weights.ts";
import { readWeights } from "../../src/weights/read-weights.ts";

const path = process.env.CIFAR_WEIGHTS;
const title = path === undefined ? " (set CIFAR_WEIGHTS to mobilenet_v2-imagenet-folded.pth to run this)" : "";

/** Every hundredth logit of PyTorch 2.15, by scripts/goldens/pretrained.py. */
const expected = [
  1.8865660429000854, 0.1224280297756195, 1.2246932983398438, -0.20786182582378387, -0.0026593804359436035,
  -0.9602252840995789, 1.1522349119186401, 0.5149495005607605, -0.2981874346733093, 0.29314810037612915,
  1.7983719110488892, 0.24598893523216248, 1.0663365125656128, -0.1406097263097763, 0.2197677493095398,
  -0.802486002445221, 1.2029597759246826, 0.8946470022201538, -0.1994958519935608, 0.011337727308273315,
];

describe.skipIf(path === undefined)(`real weights of mobilenet_v2${title}`, () => {
  it("load strictly and give PyTorch's logits (seen: 7.9e-6)", { timeout: 60_000 }, async () => {
    const { tensors, ignored } = await readWeights(path!);
    expect(ignored.every((name) => name.endsWith("num_batches_tracked"))).toBe(true);
    const model = models.mobilenet_v2.build({ classes: 1000, height: 224, width: 224 });
    const { weights } = fitWeights({ model, tensors, want: "all" });
    const bytes = await exportInferenceModel(buildInferenceGraph(model, { batch: 2 }), weights);
    await using served = await loadInferenceModel(bytes, { threads: 2 });
    const images = Float32Array.from({ length: 2 * 3 * 224 * 224 }, (_, i) => Math.sin(i * 0.001) * Math.cos(i * 0.37));
    const { logits } = await served.run({ images: floats([2, 3, 224, 224], images) });
    expected.forEach((value, i) => {
      expect(Math.abs(Number(logits!.data[i * 100]) - value)).toBeLessThan(5e-5);
    });
  });
});
