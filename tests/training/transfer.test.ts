import { describe, expect, it } from "vitest";
import { createOnnxExecutor } from "../../src/backends/onnx/executor.ts";
import { exportInferenceModel } from "../../src/backends/onnx/export.ts";
import { loadInferenceModel } from "../../src/backends/onnx/inference-model.ts";
import { createRng } from "../../src/base/rng.ts";
import { buildInferenceGraph, initialWeights, type Model } from "../../src/models/model.ts";
import { models } from "../../src/models/registry.ts";
import { type FrozenMode, frozenTransfer } from "../../src/models/transfer.ts";
import { adamw } from "../../src/optim/adamw.ts";
import { constantSchedule } from "../../src/optim/schedules.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import { floatData, floats, item, scalar, tensor } from "../../src/tensor/tensor.ts";
import { createFeatureExtractor } from "../../src/training/feature-extractor.ts";
import { gradualThaw } from "../../src/training/gradual-thaw.ts";
import { decayGroups, layerGroups } from "../../src/training/parameter-groups.ts";
import { buildTrainStep, initialState, type StepOptions } from "../../src/training/train-step.ts";
import { deviation } from "../numerics/deviation.ts";

const classes = 3;
const count = 6;
const size = 32;
const format = {
  exportModel: exportInferenceModel,
  loadModel: (bytes: Uint8Array) => loadInferenceModel(bytes, { threads: 2 }),
};
const preparation = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };
const rng = createRng(5);
const images = tensor(
  "uint8",
  [count, 3, size, size],
  Uint8Array.from({ length: count * 3 * size * size }, () => rng.int(256)),
);
const labels = tensor(
  "int32",
  [count],
  Int32Array.from({ length: count }, (_, i) => i % classes),
);

/** One of each family, under 15 million parameters. */
const families = ["mobilenet_v2", "densenet121", "regnet_y_400mf", "resnet18", "resnet9"] as const;
const modes: readonly FrozenMode[] = ["classifier_only", "RCBAM"];
const build = (name: (typeof families)[number]) => models[name].build({ classes, height: size, width: size });

describe.each(families.flatMap((name) => modes.map((mode) => [name, mode] as const)))("%s, %s", (name, mode) => {
  const transfer = frozenTransfer(build(name), { mode, dropoutRate: 0.25, innerChannels: 16 });
  const { model, backbone, trained } = transfer;
  const weights = initialWeights(model, createRng(1));
  const extractor = () => createFeatureExtractor({ name, backbone, weights, input: model.input, preparation, format });

  it("splits into frozen and trained parameters, the trained ones in the published head's place", () => {
    const names = (module: typeof backbone): string[] =>
      [...module.parameters, ...module.buffers].map((spec) => spec.name);
    expect(names(model.module).sort()).toEqual([...names(backbone), ...names(trained.module)].sort());
    const head = build(name).classifier.split(".")[0]!;
    for (const spec of trained.module.parameters) expect(spec.name.split(".")[0]).toBe(head);
    for (const spec of backbone.parameters) expect(spec.name.split(".")[0]).not.toBe(head);
  });

  it("gives the same logits in one file as in two steps", { timeout: 60_000 }, async () => {
    await using features = await extractor();
    const rows = floats([count, ...features.shape], await features.run({ images }));
    const whole = await exportInferenceModel(buildInferenceGraph(model, { batch: 2 }), weights);
    const part = await exportInferenceModel(buildInferenceGraph(trained, { batch: 2 }), pick(weights, trained.module));
    await using one = await loadInferenceModel(whole);
    await using two = await loadInferenceModel(part);
    const normalised = floats(
      images.shape,
      Float32Array.from(images.data, (byte) => (byte / 255 - 0.5) / 0.25),
    );
    const { logits: expected } = await one.run({ images: normalised });
    const { logits: actual } = await two.run({ features: rows });
    expect(actual!.shape).toEqual([count, classes]);
    expect(deviation(floatData(actual!), floatData(expected!))).toBeLessThan(1e-5);
  });

  it("learns the head from features, with dropout", { timeout: 60_000 }, async () => {
    const { shape } = trained.input as Extract<typeof trained.input, { name: "features" }>;
    // An untrained backbone makes nearly the same of all images: numbers that can be told apart instead.
    const rows = floats(
      [count, ...shape],
      Float32Array.from({ length: count * sizeOf(shape) }, () => rng.uniform() - 0.5),
    );
    const optimizer = adamw({
      groups: decayGroups(trained, { learningRate: 3e-3, weightDecay: 0, schedule: constantSchedule }),
    });
    const options: StepOptions = { model: trained, optimizer, batchSize: count };
    const graph = buildTrainStep(options);
    expect(Object.keys(graph.inputs).filter((input) => input.startsWith("uniforms/"))).toHaveLength(
      mode === "RCBAM" ? 2 : 1,
    );
    const executor = await createOnnxExecutor({ threads: 2, optimization: "none" });
    await using step = await executor.compile(graph);
    step.writeState(initialState(options, weights));
    const losses: number[] = [];
    for (let at = 0; at < 40; at++) {
      const scalars = Object.fromEntries(
        Object.entries(optimizer.scalarsAt(at)).map(([key, value]) => [key, scalar(value)]),
      );
      const uniforms = Object.fromEntries(
        Object.entries(graph.inputs)
          .filter(([key]) => key.startsWith("uniforms/"))
          .map(([key, { shape }]) => [
            key,
            floats(
              shape,
              Float32Array.from({ length: shape[0]! * shape[1]! }, () => rng.uniform()),
            ),
          ]),
      );
      losses.push(item((await step.run({ features: rows, labels, ...scalars, ...uniforms })).loss!));
    }
    const mean = (part: readonly number[]): number => part.reduce((sum, loss) => sum + loss, 0) / part.length;
    expect(losses.every(Number.isFinite)).toBe(true);
    expect(mean(losses.slice(-5))).toBeLessThan(0.8 * mean(losses.slice(0, 5)));
  });
});

describe.each(families)("fine-tuning %s", (name) => {
  const model = build(name);
  const schedule = constantSchedule;

  it("gives every parameter one rate, lower by a factor from stage to stage", () => {
    const groups = layerGroups(model, { learningRate: 1, weightDecay: 0.1, schedule, layerDecay: 0.5 });
    const rates = new Map(
      groups.flatMap(({ parameters, learningRate }) => parameters.map((key) => [key, learningRate])),
    );
    const grouped = groups.flatMap(({ parameters }) => parameters);
    expect([...grouped].sort()).toEqual(model.module.parameters.map((spec) => spec.name).sort());
    expect(rates.get(`${model.classifier}.weight`)).toBe(1);
    model.stages.forEach((stage, i) => {
      for (const spec of stage.parameters) expect(rates.get(spec.name)).toBe(0.5 ** (model.stages.length - i));
    });
    for (const { parameters, weightDecay } of groups) {
      for (const key of parameters) {
        const { kind } = model.module.parameters.find((spec) => spec.name === key)!;
        expect(weightDecay).toBe(kind === "filter" || kind === "linear" ? 0.1 : 0);
      }
    }
  });

  it("thaws one stage after the other, from the head down, and builds nothing anew in between", () => {
    const networkIn = gradualThaw(model, 2);
    const waiting = (epoch: number) =>
      networkIn(epoch)
        .module.parameters.filter(({ trainable }) => !trainable)
        .map((spec) => spec.name);
    const all = model.stages.flatMap((stage) => stage.parameters.map((spec) => spec.name));
    expect(waiting(0)).toEqual(all);
    expect(networkIn(1)).toBe(networkIn(0));
    const last = model.stages.at(-1)!.parameters.map((spec) => spec.name);
    expect(waiting(2)).toEqual(all.slice(0, -last.length));
    expect(networkIn(2 * model.stages.length)).toBe(model);
    expect(networkIn(999)).toBe(model);
  });
});

describe("a training step", () => {
  const model = models.resnet9.build({ classes, height: 8, width: 8, widthFactor: 1 / 16 });
  const optimizer = adamw({
    groups: decayGroups(model, { learningRate: 0.01, weightDecay: 0, schedule: constantSchedule }),
  });
  const oneStep = async (of: Pick<StepOptions, "model" | "normStatistics">) => {
    const options: StepOptions = { ...of, optimizer, batchSize: count, images: preparation };
    const executor = await createOnnxExecutor({ threads: 2, optimization: "none" });
    await using step = await executor.compile(buildTrainStep(options));
    const before = initialState(options, initialWeights(model, createRng(1)));
    step.writeState(before);
    const small = tensor("uint8", [count, 3, 8, 8], images.data.slice(0, count * 192) as Uint8Array<ArrayBuffer>);
    const scalars = Object.fromEntries(
      Object.entries(optimizer.scalarsAt(0)).map(([key, value]) => [key, scalar(value)]),
    );
    await step.run({ images: small, labels, ...scalars });
    return { before, after: step.readState() };
  };

  it("keeps running statistics and normalises by them where batch norm is frozen", async () => {
    const { before, after } = await oneStep({ model, normStatistics: "running" });
    for (const { name } of model.module.buffers) expect(after[name]!.data).toEqual(before[name]!.data);
    expect(after["stem.bn.weight"]!.data).not.toEqual(before["stem.bn.weight"]!.data);
  });

  it("leaves weights and running statistics of frozen stages alone, and only those", async () => {
    const { before, after } = await oneStep({ model: gradualThaw(model, 1)(1) });
    const namesOf = (stages: Model["stages"]) =>
      stages.flatMap(({ parameters, buffers }) => [...parameters, ...buffers].map(({ name }) => name));
    for (const name of namesOf(model.stages.slice(0, -1))) expect(after[name]!.data, name).toEqual(before[name]!.data);
    for (const name of namesOf(model.stages.slice(-1))) expect(after[name]!.data, name).not.toEqual(before[name]!.data);
  });
});

function pick<T>(
  values: Readonly<Record<string, T>>,
  { parameters, buffers }: { parameters: readonly { name: string }[]; buffers: readonly { name: string }[] },
): Record<string, T> {
  return Object.fromEntries([...parameters, ...buffers].map(({ name }) => [name, values[name]!]));
}
