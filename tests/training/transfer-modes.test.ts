import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exportInferenceModel } from "../../src/backends/onnx/export.ts";
import { loadInferenceModel } from "../../src/backends/onnx/inference-model.ts";
import { createRng } from "../../src/base/rng.ts";
import { type Config, configSchema, type PartialConfig } from "../../src/config/schema.ts";
import { loadDataset } from "../../src/data/load.ts";
import { configuredModel } from "../../src/experiments/configured-model.ts";
import { evaluateBundle } from "../../src/experiments/evaluate-bundle.ts";
import type { ExperimentEvent } from "../../src/experiments/events.ts";
import { runTraining } from "../../src/experiments/train.ts";
import { type Bundle, readBundle } from "../../src/inference/bundle.ts";
import { normalise } from "../../src/inference/preprocess.ts";
import { buildInferenceGraph, initialWeights, type Model } from "../../src/models/model.ts";
import { type FrozenMode, frozenTransfer } from "../../src/models/transfer.ts";
import { adamw } from "../../src/optim/adamw.ts";
import { decodeSafetensors, encodeSafetensors } from "../../src/tensor/safetensors.ts";
import { floatData, floats, type Named, type Tensor, tensor } from "../../src/tensor/tensor.ts";
import { loadCheckpoint } from "../../src/training/checkpoint.ts";
import { createFeatureExtractor } from "../../src/training/feature-extractor.ts";
import { decayGroups } from "../../src/training/parameter-groups.ts";
import { buildTrainStep } from "../../src/training/train-step.ts";
import { readWeights } from "../../src/weights/read-weights.ts";
import { deviation } from "../numerics/deviation.ts";
import { stateDictFile } from "../weights/torch-file.ts";

type Mode = Config["model"]["transfer_mode"];

/** A small one of each family, the name of its head, and the file that its pretrained weights are in. */
const families = [
  ["mobilenet_v3_small", "classifier", ".pth"],
  ["efficientnet_b0", "classifier", ".safetensors"],
  ["densenet121", "classifier", ".pth"],
  ["regnet_y_400mf", "fc", ".safetensors"],
  ["resnet18", "fc", ".pth"],
] as const;
const modes = ["classifier_only", "RCBAM", "fine_tune", "from_scratch"] as const satisfies readonly Mode[];
/** The training step of all weights is compared with torchvision's in tests/numerics; these are the quickest. */
const alsoFromScratch: readonly string[] = ["mobilenet_v3_small"];
const alsoFineTuned: readonly string[] = ["mobilenet_v3_small", "efficientnet_b0"];
const isFrozen = (mode: Mode): mode is FrozenMode => mode === "classifier_only" || mode === "RCBAM";

const classes = ["cat", "dog", "owl"];
/** Of the network that the pretrained weights are from. */
const oldClasses = 5;
const size = 32;

let root: string;
let images: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "modes-"));
  images = join(root, "images");
  const rng = createRng(3);
  for (const [part, count] of Object.entries({ train: 8, test: 4 })) {
    for (const name of classes) {
      await mkdir(join(images, part, name), { recursive: true });
      for (let i = 0; i < count; i++) {
        const pixels = Buffer.from(Uint8Array.from({ length: size * size * 3 }, () => rng.int(256)));
        const raw = { width: size, height: size, channels: 3 } as const;
        await sharp(pixels, { raw })
          .png()
          .toFile(join(images, part, name, `${i}.png`));
      }
    }
  }
});
afterAll(() => rm(root, { recursive: true, force: true }));

interface Setting {
  readonly mode: Mode;
  readonly weights?: string;
  readonly model?: PartialConfig["model"];
  readonly training?: PartialConfig["training"];
}

function configOf(name: string, { mode, weights, model = {}, training = {} }: Setting): Config {
  return configSchema.parse({
    dataset: { name: "folder", source: images, img_size: size, validation_fraction: 0 },
    model: {
      name,
      transfer_mode: mode,
      weights: weights ?? null,
      dropout_rate: 0.25,
      ...model,
      transfer: {
        feature_dir: join(root, "features"),
        ...(mode === "RCBAM" ? { rcbam_channels: 16 } : {}),
        ...model.transfer,
      },
    },
    training: {
      batch_size: 8,
      num_epochs: 1,
      learning_rate: 0.01,
      early_stopping: false,
      checkpoint_dir: join(root, "checkpoints"),
      threads: 1,
      ...training,
    },
    augmentation: { use_augmentation: false },
    evaluation: { batch_size: 4 },
  });
}

const modelOf = (config: Config, count = classes.length): Model =>
  configuredModel(config, { classes: count, height: size, width: size });

/** Random weights of a network of other classes, in a file. */
async function pretrain(name: string, extension: string): Promise<{ path: string; tensors: Named<Tensor> }> {
  const path = join(root, `${name}${extension}`);
  const tensors = initialWeights(modelOf(configOf(name, { mode: "from_scratch" }), oldClasses), createRng(name));
  await writeFile(path, extension === ".pth" ? stateDictFile(tensors) : encodeSafetensors({ tensors, metadata: {} }));
  return { path, tensors };
}

interface Run {
  readonly events: readonly ExperimentEvent[];
  readonly bundle: Bundle;
  readonly weights: Named<Tensor>;
  readonly directory: string;
}

async function train(config: Config, onEvent: (event: ExperimentEvent) => void = () => {}): Promise<Run> {
  const directory = await mkdtemp(join(root, "run-"));
  const events: ExperimentEvent[] = [];
  const outcome = await runTraining(
    { config, resolved: {}, runId: "run", directory, mode: "start" },
    {
      signal: new AbortController().signal,
      onEvent(event) {
        events.push(event);
        onEvent(event);
      },
    },
  );
  expect(outcome.reason).toBe("completed");
  const bundle = await readBundle(outcome.bundle!.directory);
  const { tensors } = decodeSafetensors(await readFile(join(bundle.directory, "weights.safetensors")));
  return { events, bundle, weights: tensors, directory };
}

const sameBits = (a: Tensor, b: Tensor): boolean =>
  Buffer.from(a.data.buffer, a.data.byteOffset, a.data.byteLength).equals(
    Buffer.from(b.data.buffer, b.data.byteOffset, b.data.byteLength),
  );

async function testImages(): Promise<{ bytes: Tensor<"uint8">; labels: Int32Array }> {
  const { test } = await loadDataset({ name: "folder", source: images, dataDir: root, imgSize: size });
  return { bytes: tensor("uint8", [test.count, 3, size, size], Uint8Array.from(test.images)), labels: test.labels };
}

/** Logits of the frozen stages' features and the head behind them, each from its own file. */
async function inTwoParts(config: Config, mode: FrozenMode, { bundle, weights }: Run, bytes: Tensor<"uint8">) {
  const { model, backbone, trained } = frozenTransfer(modelOf(config), {
    mode,
    dropoutRate: 0,
    innerChannels: config.model.transfer.rcbam_channels ?? undefined,
  });
  const format = { exportModel: exportInferenceModel, loadModel: loadInferenceModel };
  const { mean, std } = bundle.metadata.preprocessing;
  const preparation = { height: size, width: size, mean, std };
  const name = model.name;
  await using extractor = await createFeatureExtractor({
    ...{ name, backbone, weights, input: model.input, preparation, format },
  });
  const features = floats([bytes.shape[0]!, ...extractor.shape], await extractor.run({ images: bytes }));
  const names = [...trained.module.parameters, ...trained.module.buffers].map((spec) => spec.name);
  const own = Object.fromEntries(names.map((key) => [key, weights[key]!]));
  await using head = await loadInferenceModel(
    await exportInferenceModel(buildInferenceGraph(trained, { batch: 2 }), own),
  );
  return floatData((await head.run({ features })).logits!);
}

describe.each(families)("%s (head %s, weights in a %s file)", (name, head, extension) => {
  let pretrained: { path: string; tensors: Named<Tensor> };
  let stages: readonly string[];
  let stageBuffers: readonly string[];
  beforeAll(async () => {
    pretrained = await pretrain(name, extension);
    const model = modelOf(configOf(name, { mode: "from_scratch" }));
    stages = model.stages.flatMap((stage) => stage.parameters.map((spec) => spec.name));
    stageBuffers = model.stages.flatMap((stage) => stage.buffers.map((spec) => spec.name));
  });

  const headNames = (weights: Named<Tensor>): string[] => {
    const before = new Set([...stages, ...stageBuffers]);
    return Object.keys(weights).filter((key) => !before.has(key));
  };

  const trained = modes.filter(
    (mode) =>
      isFrozen(mode) || (mode === "fine_tune" && alsoFineTuned.includes(name)) || alsoFromScratch.includes(name),
  );
  it.each(trained)("%s: trains what it should, and its bundle predicts so", { timeout: 120_000 }, async (mode) => {
    const config = configOf(name, { mode, ...(mode === "from_scratch" ? {} : { weights: pretrained.path }) });
    const run = await train(config);
    const { bundle, weights, events } = run;

    // What is trained and what stays.
    const changed = (key: string): boolean => !sameBits(weights[key]!, pretrained.tensors[key]!);
    expect(Object.keys(weights)).toEqual(expect.arrayContaining([...stages, ...stageBuffers]));
    if (isFrozen(mode)) {
      expect([...stages, ...stageBuffers].filter(changed)).toEqual([]);
    } else {
      const filters = stages.filter((key) => weights[key]!.shape.length === 4);
      expect(filters.filter((key) => !changed(key))).toEqual([]);
    }

    // The head's names are the published ones, or in their place.
    const names = headNames(weights);
    for (const key of names) expect(key.split(".")[0]).toBe(head);
    const published = Object.keys(pretrained.tensors).filter((key) => key.startsWith(`${head}.`));
    if (!isFrozen(mode)) expect(names.sort()).toEqual(published.sort());
    if (mode === "classifier_only") expect(names.sort()).toEqual([`${head}.1.bias`, `${head}.1.weight`]);
    if (mode === "RCBAM") {
      expect(names).toEqual(expect.arrayContaining([`${head}.rcbam.skip_gate`, `${head}.output.weight`]));
      expect(weights[`${head}.hidden.weight`]!.shape[0]).toBe(1024);
    }
    const told = events.find((event) => event.type === "weights");
    if (mode === "from_scratch") expect(told).toBeUndefined();
    else expect(told).toMatchObject({ path: pretrained.path, digest: (await readWeights(pretrained.path)).digest });

    // The file that is served gives the trained network's logits, and the evaluation is its.
    const { bytes, labels } = await testImages();
    await using served = await loadInferenceModel(bundle.modelPath);
    const { logits } = await served.run({ images: normalise(bytes, bundle.metadata.preprocessing) });
    expect(logits!.shape).toEqual([12, classes.length]);
    const values = floatData(logits!);
    expect(values.every(Number.isFinite)).toBe(true);
    if (isFrozen(mode)) {
      expect(deviation(await inTwoParts(config, mode, run, bytes), values)).toBeLessThan(1e-5);
    }
    const best = Array.from(labels, (_, i) => {
      const row = [...values.subarray(3 * i, 3 * i + 3)];
      return row.indexOf(Math.max(...row));
    });
    const accuracy = best.filter((label, i) => label === labels[i]).length / labels.length;
    expect(bundle.metadata.metrics.test!.accuracy).toBeCloseTo(accuracy, 10);
    expect(bundle.metadata.model.architecture).toBe(name);
    const { evaluation } = await evaluateBundle({ bundle, config, split: "test", tta: "none" });
    expect(evaluation.metrics.accuracy).toBeCloseTo(accuracy, 10);
  });

  it.each(modes)("%s: has dropout exactly where a rate is set", (mode) => {
    const uniforms = (rate: number): string[] => {
      const config = configOf(name, {
        mode,
        weights: mode === "from_scratch" ? undefined : "x",
        model: { dropout_rate: rate },
      } as Setting);
      const model = modelOf(config);
      const network = isFrozen(mode) ? frozenTransfer(model, { mode, dropoutRate: rate }).trained : model;
      const optimizer = adamw({ groups: decayGroups(network, { learningRate: 1, weightDecay: 0, schedule: () => 1 }) });
      const images = { mean: [0, 0, 0], std: [1, 1, 1] };
      const { inputs } = buildTrainStep({
        ...{ model: network, optimizer, batchSize: 2 },
        ...(isFrozen(mode) ? {} : { images }),
      });
      return Object.keys(inputs).filter((key) => key.startsWith(`uniforms/${head}`));
    };
    expect(uniforms(0)).toEqual([]);
    expect(uniforms(0.25)).toHaveLength(mode === "RCBAM" ? 2 : 1);
  });
});

describe("fine_tune", () => {
  const name = "mobilenet_v2";
  const narrow = { width: 0.25, dropout_rate: 0 };
  let path: string;
  let tensors: Named<Tensor>;
  beforeAll(async () => {
    path = join(root, "narrow.safetensors");
    const model = modelOf(configOf(name, { mode: "from_scratch", model: narrow }));
    tensors = initialWeights(model, createRng(2));
    await writeFile(path, encodeSafetensors({ tensors, metadata: {} }));
  });

  const plainSgd = { optimizer: "sgd", momentum: 0, weight_decay: 0, scheduler: "none" } as const;
  const setting = (transfer: NonNullable<PartialConfig["model"]>["transfer"], training: PartialConfig["training"]) =>
    configOf(name, {
      ...{ mode: "fine_tune", weights: path, model: { ...narrow, transfer } },
      training: { ...plainSgd, ...training },
    } as Setting);

  it("moves each stage by the decayed share of what it would move", { timeout: 60_000 }, async () => {
    // One step, so that both see the same gradient.
    const oneStep = { batch_size: 24 };
    const even = await train(setting({}, oneStep));
    const decayed = await train(setting({ layer_lr_decay: 0.5 }, oneStep));
    const { stages, head } = modelOf(setting({}, {}));
    const parts = [...stages, head].reverse();
    parts.forEach(({ parameters }, depth) => {
      for (const { name: key } of parameters) {
        const before = floatData(tensors[key]!);
        const moved = (run: Run): Float32Array => floatData(run.weights[key]!).map((x, i) => x - before[i]!);
        const expected = moved(even).map((x) => x * 0.5 ** depth);
        // Weights near 1 keep some 1e-7 of what they were moved by.
        moved(decayed).forEach((x, i) => {
          expect(Math.abs(x - expected[i]!), key).toBeLessThan(1e-3 * Math.abs(expected[i]!) + 2.5e-7);
        });
      }
    });
    expect(even.weights[`${modelOf(setting({}, {})).classifier}.weight`]).not.toEqual(tensors["classifier.1.weight"]);
  });

  it("trains the head first and one more stage from the end in each epoch", { timeout: 60_000 }, async () => {
    const states: Named<Tensor>[] = [];
    const epochs = 3;
    // The checkpoint of each epoch, read before the next one can be written.
    const run = await train(
      setting({ unfreeze_epochs: 1 }, { num_epochs: epochs, checkpoint_dir: join(root, "thaw") }),
      (event) => {
        if (event.type === "checkpoint") states.push(stateIn(event.path));
      },
    );
    expect(states).toHaveLength(epochs);
    const { stages, head } = modelOf(setting({}, {}));
    const { checkpoint } = await loadCheckpoint(run.directory);
    expect(checkpoint.progress.epoch).toBe(epochs);
    states.forEach((state, epoch) => {
      const thawed = stages.length - epoch;
      stages.forEach((stage, i) => {
        const filters = stage.parameters.filter(({ kind }) => kind === "filter");
        const moved = stage.parameters.filter(({ name: key }) => !sameBits(state[key]!, tensors[key]!));
        if (i < thawed) expect(moved, `stage ${i} in epoch ${epoch}`).toEqual([]);
        else for (const filter of filters) expect(moved, `stage ${i} in epoch ${epoch}`).toContain(filter);
      });
      expect(sameBits(state[head.parameters[0]!.name]!, tensors[head.parameters[0]!.name]!)).toBe(false);
    });
  });

  /** The variables in a checkpoint's file. */
  function stateIn(path: string): Named<Tensor> {
    const prefix = "state:";
    const entries = Object.entries(decodeSafetensors(readFileSync(path)).tensors);
    return Object.fromEntries(
      entries.filter(([key]) => key.startsWith(prefix)).map(([key, value]) => [key.slice(prefix.length), value]),
    );
  }
});
