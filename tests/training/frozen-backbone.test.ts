import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import * as ort from "onnxruntime-node";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { exportInferenceModel } from "../../src/backends/onnx/export.ts";
import { loadInferenceModel } from "../../src/backends/onnx/inference-model.ts";
import { ModelProtoSchema } from "../../src/backends/onnx/proto/onnx_pb.ts";
import { createRng } from "../../src/base/rng.ts";
import { configSchema, type PartialConfig } from "../../src/config/schema.ts";
import type { ImageDataset } from "../../src/data/dataset.ts";
import { createSyntheticDataset } from "../../src/data/synthetic.ts";
import { configuredModel } from "../../src/experiments/configured-model.ts";
import { planTraining } from "../../src/experiments/training-plan.ts";
import { initialWeights } from "../../src/models/model.ts";
import { models } from "../../src/models/registry.ts";
import { frozenTransfer } from "../../src/models/transfer.ts";
import type { ParameterSpec } from "../../src/nn/parameter.ts";
import { encodeSafetensors } from "../../src/tensor/safetensors.ts";
import { floatData, floats, type Tensor } from "../../src/tensor/tensor.ts";
import { createFeatureExtractor } from "../../src/training/feature-extractor.ts";

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "frozen-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** Everything that an inference graph needs; nothing that normalises by a batch, draws, or is computed backwards. */
const inferenceOps = new Set([
  ...["Cast", "Mul", "Add", "Sub", "Div", "Conv", "Relu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "QuickGelu"],
  ...["GlobalAveragePool", "AveragePool", "MaxPool", "Gemm", "MatMul", "Reshape", "Concat", "Resize", "Identity"],
  ...["ReduceSum", "Expand", "Squeeze", "Unsqueeze"],
]);

/** One of each family, and its convolutions with batch norm behind. */
const backbones = ["mobilenet_v3_small", "efficientnet_b0", "densenet121", "regnet_y_400mf", "resnet18"] as const;

describe.each(backbones)("the frozen %s", (name) => {
  it("is an inference graph without batch norm, fully optimised", { timeout: 60_000 }, async () => {
    const model = models[name].build({ classes: 3, height: 32, width: 32 });
    const { backbone } = frozenTransfer(model, { mode: "classifier_only", dropoutRate: 0.5 });
    const create = vi.spyOn(ort.InferenceSession, "create");
    let file: Uint8Array | undefined;
    await using extractor = await createFeatureExtractor({
      ...{ name, backbone, weights: initialWeights(model, createRng(1)), input: model.input },
      preparation: { height: 16, width: 16, mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2] },
      format: {
        async exportModel(graph, weights) {
          file = await exportInferenceModel(graph, weights);
          return file;
        },
        loadModel: (bytes) => loadInferenceModel(bytes, { threads: 2 }),
      },
    });
    expect(create.mock.calls[0]![1]).toMatchObject({ graphOptimizationLevel: "all" });
    create.mockRestore();
    const { node: nodes, input: inputs, initializer } = fromBinary(ModelProtoSchema, file!).graph!;
    const ops = nodes.map(({ opType }) => opType);
    expect([...new Set(ops)].filter((op) => !inferenceOps.has(op))).toEqual([]);
    // Folded: running statistics are no tensors of the file any more, and each convolution is there once.
    expect(inputs.map((input) => input.name)).toEqual(["images"]);
    expect(initializer.filter((tensor) => /running|num_batches|momentum/.test(tensor.name))).toEqual([]);
    // The 1x1 filters of squeeze-and-excitation become matrix products.
    const isFilter = (spec: ParameterSpec): boolean => spec.shape.length === 4 && !/\.fc[12]\./.test(spec.name);
    const filters = backbone.parameters.filter(isFilter).length;
    const convolutions = ops.filter((op) => op === "Conv").length;
    // DenseNet has batch norm before its convolutions, behind a concatenation: there it stays an affine map.
    if (name === "densenet121") expect(convolutions).toBeLessThanOrEqual(2 * filters);
    else expect(convolutions).toBe(filters);
    expect(extractor.shape).toEqual([model.featureChannels]);
  });
});

describe("cached features", () => {
  let folder: string;
  let base: PartialConfig;
  let weights: Record<string, Tensor<"float32">>;
  let path: string;
  const dataset = createSyntheticDataset({ trainCount: 20, testCount: 4 });
  beforeAll(async () => {
    path = join(root, "weights.safetensors");
    const config = configSchema.parse({ model: { name: "mobilenet_v2", width: 0.1 }, dataset: { img_size: 16 } });
    weights = initialWeights(configuredModel(config, { classes: 10, height: 16, width: 16 }), createRng(1));
    await writeFile(path, encodeSafetensors({ tensors: weights, metadata: {} }));
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(root, "features-"));
    base = {
      dataset: { img_size: 16 },
      model: {
        ...{ name: "mobilenet_v2", width: 0.1, transfer_mode: "classifier_only", weights: path },
        transfer: { feature_dir: folder, feature_views: 1 },
      },
      training: { batch_size: 4, threads: 1 },
    };
  });

  interface Change {
    readonly config?: PartialConfig;
    readonly data?: Partial<ImageDataset>;
    readonly indices?: Int32Array;
  }

  /** Names of the tables that a training of this configuration uses: its own, without validation. */
  async function tables({ config = {}, data = {}, indices }: Change = {}): Promise<Set<string>> {
    const merged = configSchema.parse({
      ...base,
      dataset: { ...base.dataset, ...config.dataset },
      model: {
        ...base.model,
        ...config.model,
        transfer: { ...base.model!.transfer, ...config.model?.transfer, feature_dir: folder },
      },
      training: { ...base.training, ...config.training },
      augmentation: { ...config.augmentation },
    });
    const trainIndices = indices ?? Int32Array.from({ length: 20 }, (_, i) => i);
    const before = new Set(await readdir(folder));
    const rng = createRng(merged.training.seed);
    const plan = await planTraining(
      merged,
      { dataset: { ...dataset, ...data }, trainIndices, validation: undefined, rng },
      {
        format: { exportModel: exportInferenceModel, loadModel: (bytes) => loadInferenceModel(bytes) },
        signal: new AbortController().signal,
        onEvent: () => {},
      },
    );
    await plan[Symbol.asyncDispose]();
    return new Set((await readdir(folder)).filter((file) => file.endsWith(".f32") && !before.has(file)));
  }

  it("are used again, and whatever does not touch them changes nothing", async () => {
    expect(await tables()).toHaveProperty("size", 2);
    expect(await tables()).toHaveProperty("size", 0);
    const others: Change[] = [
      { config: { training: { learning_rate: 0.5, num_epochs: 3, optimizer: "adamw", label_smoothing: 0 } } },
      { config: { model: { dropout_rate: 0.5 } } },
      { config: { training: { batch_size: 5 } } },
      // The same weights in another place.
      { config: { model: { weights: await copy(weights, "copy") } } },
    ];
    for (const change of others) expect(await tables(change), JSON.stringify(change)).toHaveProperty("size", 0);
  });

  const nudged = async (): Promise<string> => {
    const changed = new Float32Array(floatData(weights["features.0.0.weight"]!));
    changed[0]! += 1e-3;
    const stem = floats(weights["features.0.0.weight"]!.shape, changed);
    return copy({ ...weights, "features.0.0.weight": stem }, "nudged");
  };
  const statistic = async (): Promise<string> => {
    const name = "features.0.1.running_mean";
    const changed = new Float32Array(floatData(weights[name]!)).fill(0.01);
    return copy({ ...weights, [name]: floats(weights[name]!.shape, changed) }, "statistic");
  };
  const onePixel = (): Partial<ImageDataset> => {
    const images = Uint8Array.from(dataset.train.images);
    images[7]! ^= 1;
    return { train: { ...dataset.train, images } };
  };

  /** Both tables, the images as they are and their augmented view, or only the latter. */
  it.each<[string, number, () => Change | Promise<Change>]>([
    ["one weight", 2, async () => ({ config: { model: { weights: await nudged() } } })],
    ["one running statistic", 2, async () => ({ config: { model: { weights: await statistic() } } })],
    ["the network", 2, async () => ({ config: { model: { weights: await copyOf(0.2), width: 0.2 } } })],
    ["the stem", 2, () => ({ config: { model: { stem: "published" } } })],
    ["the mode", 2, () => ({ config: { model: { transfer_mode: "RCBAM" } } })],
    ["the mean", 2, () => ({ config: { dataset: { mean: [0.4, 0.456, 0.406] } } })],
    ["the standard deviation", 2, () => ({ config: { dataset: { std: [0.3, 0.224, 0.225] } } })],
    ["the network's input size", 2, () => ({ config: { dataset: { img_size: 24 } } })],
    ["one pixel", 2, () => ({ data: onePixel() })],
    ["which images", 2, () => ({ indices: Int32Array.from({ length: 19 }, (_, i) => i) })],
    ["their order", 2, () => ({ indices: Int32Array.from({ length: 20 }, (_, i) => 19 - i) })],
    ["the augmentation", 1, () => ({ config: { augmentation: { crop_padding: 2 } } })],
    ["the augmentation's seed", 1, () => ({ config: { training: { seed: 9 } } })],
    ["the number of views", 1, () => ({ config: { model: { transfer: { feature_views: 2 } } } })],
  ])("are computed anew when %s changes: %d tables", async (_, expected, change) => {
    expect(await tables()).toHaveProperty("size", 2);
    expect(await tables(await change())).toHaveProperty("size", expected);
    expect(await tables()).toHaveProperty("size", 0);
  });

  async function copy(tensors: Record<string, Tensor<"float32">>, name: string): Promise<string> {
    const file = join(root, `${name}.safetensors`);
    await writeFile(file, encodeSafetensors({ tensors, metadata: {} }));
    return file;
  }

  async function copyOf(width: number): Promise<string> {
    const model = models.mobilenet_v2.build({ classes: 10, height: 16, width: 16, widthFactor: width });
    return copy(initialWeights(model, createRng(1)), `width-${width}`);
  }

  it("of the images are what the network computes of them", async () => {
    const names = await tables({ config: { model: { transfer: { feature_views: 0 } } } });
    const bytes = await readFile(join(folder, [...names][0]!));
    const rows = new Float32Array(new Uint8Array(bytes).buffer);
    expect(rows).toHaveLength(20 * 1280);
    expect(new Set(rows.slice(0, 1280)).size).toBeGreaterThan(100);
    expect(rows.every(Number.isFinite)).toBe(true);
  });
});
