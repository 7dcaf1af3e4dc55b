import { describe, expect, it } from "vitest";
import { exportInferenceModel } from "../../src/backends/onnx/export.ts";
import { loadInferenceModel } from "../../src/backends/onnx/inference-model.ts";
import { createRng } from "../../src/base/rng.ts";
import { add, channelAffine, constant, filled, input, mul, reshape } from "../../src/graph/build.ts";
import { defineGraph } from "../../src/graph/graph.ts";
import { airbench } from "../../src/models/airbench.ts";
import { buildInferenceGraph, type Model } from "../../src/models/model.ts";
import { models } from "../../src/models/registry.ts";
import { resnet9 } from "../../src/models/resnet9.ts";
import { frozenTransfer } from "../../src/models/transfer.ts";
import { initialValues } from "../../src/nn/parameter.ts";
import { floatData, floats } from "../../src/tensor/tensor.ts";

const tinyResnet = resnet9({ classes: 3, height: 8, width: 8, widthFactor: 1 / 16 });
const small = { classes: 5, height: 32, width: 32 };
const networks: Readonly<Record<string, Model>> = {
  resnet9: tinyResnet,
  "resnet9 with RCBAM": frozenTransfer(tinyResnet, { mode: "RCBAM", dropoutRate: 0.1 }).model,
  airbench: airbench({ classes: 10, widthFactor: 1 / 16 }),
  "mobilenet_v3_small (squeeze-excitation)": models.mobilenet_v3_small.build(small),
};

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");

describe("an exported model", () => {
  it.each(Object.entries(networks))(
    "%s is the same file whatever batch its graph was built for",
    async (_, network) => {
      const specs = [...network.module.parameters, ...network.module.buffers];
      const weights = initialValues(specs, createRng(1));
      const exported = (batch: number) => exportInferenceModel(buildInferenceGraph(network, { batch }), weights);
      const channelCounts = new Set(specs.map(({ shape }) => shape[0] ?? 1).filter((count) => count <= 300)).add(1);
      const expected = textOf(await exported(211));
      for (const batch of channelCounts) {
        expect(textOf(await exported(batch)) === expected, `built for a batch of ${batch}`).toBe(true);
      }
    },
  );

  it("keeps a known value of the whole batch as one sample", async () => {
    const x = input("x", "float32", [3, 3, 1, 1]);
    const factors = reshape(filled([3, 3, 1], 2), [3, 3]);
    const shift = constant(floats([3, 3], [1, 2, 3, 1, 2, 3, 1, 2, 3]));
    const y = mul(channelAffine(x, factors, shift), add(filled(x.shape, 1), filled(x.shape, 1)));
    await using model = await loadInferenceModel(
      await exportInferenceModel(defineGraph({ name: "repeated", inputs: [x], outputs: { y } }), {}),
    );
    const result = await model.run({ x: floats([2, 3, 1, 1], [0, 1, 2, 3, 4, 5]) });
    expect([...floatData(result.y!)]).toEqual([2, 8, 14, 14, 20, 26]);
  });

  it("refuses a constant that differs from sample to sample", async () => {
    const x = input("x", "float32", [2, 1]);
    const y = add(x, constant(floats([2, 1], [1, 2])));
    const graph = defineGraph({ name: "uneven", inputs: [x], outputs: { y } });
    await expect(exportInferenceModel(graph, {})).rejects.toMatchObject({ code: "GRAPH_INVALID" });
  });
});
