import { expect, test } from "vitest";
import { createOnnxExecutor } from "../../src/backends/onnx/executor.ts";
import type { Executor } from "../../src/graph/executor.ts";
import type { Model } from "../../src/models/model.ts";
import { resnet9 } from "../../src/models/resnet9.ts";
import { sgd } from "../../src/optim/sgd.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import { floatData, item, type Named, scalar, type Tensor, tensor } from "../../src/tensor/tensor.ts";
import { buildGradStep, buildTrainStep, initialState, type StepOptions } from "../../src/training/train-step.ts";
import { type GoldenArray, openGolden } from "../goldens/golden-file.ts";
import { relativeDistance } from "./deviation.ts";
import { hashedNumbers } from "./hashed-numbers.ts";

interface GoldenTensor {
  readonly stride: number;
  /** Length of the whole tensor. */
  readonly norm: number;
  readonly values: GoldenArray;
  /** How far PyTorch's own float32 run is from float64. */
  readonly float32Distance: number;
}

interface GoldenTraining {
  readonly options: {
    readonly widthFactor: number;
    readonly batchSize: number;
    readonly steps: number;
    readonly batches: number;
    readonly classes: number;
    readonly learningRate: number;
    readonly momentum: number;
    readonly weightDecay: number;
    readonly labelSmoothing: number;
    readonly mean: number;
    readonly std: number;
  };
  readonly losses: readonly number[];
  readonly lossFloat32Distance: readonly number[];
  readonly gradients: Named<GoldenTensor>;
  readonly states: Readonly<Record<string, Named<GoldenTensor>>>;
}

/** Relative distance allowed to a gradient of the first step; PyTorch's own float32 run is 4e-6 away at worst. */
const gradientBound = 3e-5;

/**
 * Rounding grows from step to step, as ReLUs and maxima switch: losses and the median and largest distance of the weights may be
 * this many times as far from float64 as PyTorch's float32 run is. An update rule that is wrong in its last term is
 * beyond that after the first step.
 */
const allowance = 10;

const golden = openGolden<GoldenTraining>("resnet9");
const { options } = golden.index;
const model = resnet9({ classes: options.classes, widthFactor: options.widthFactor });
const step: StepOptions = {
  model,
  batchSize: options.batchSize,
  images: { mean: new Array<number>(3).fill(options.mean), std: new Array<number>(3).fill(options.std) },
  labelSmoothing: options.labelSmoothing,
  optimizer: sgd({
    momentum: options.momentum,
    groups: [
      {
        name: "all",
        parameters: model.module.parameters.map(({ name }) => name),
        learningRate: options.learningRate,
        weightDecay: options.weightDecay,
        schedule: () => 1,
      },
    ],
  }),
};

/** As `initialise` of the generator: seeds follow the alphabetical order of the parameters. */
function goldenWeights({ module }: Model): Record<string, Tensor> {
  const weights: Record<string, Tensor> = {};
  module.parameters
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .forEach(({ name, shape }, index) => {
      const size = sizeOf(shape);
      const bound = Math.sqrt(6 / (size / shape[0]!)) * (name === "classifier.weight" ? 1 / 8 : 1);
      const values = Float32Array.from(hashedNumbers(1000 + index, size), (bits) =>
        shape.length > 1 ? (2 * ((bits >>> 8) / 0x1000000) - 1) * bound : name.endsWith("bn.weight") ? 1 : 0,
      );
      weights[name] = tensor("float32", shape, values);
    });
  for (const { name, shape } of module.buffers) {
    weights[name] = tensor(
      "float32",
      shape,
      new Float32Array(sizeOf(shape)).fill(name.endsWith("running_var") ? 1 : 0),
    );
  }
  return weights;
}

function goldenBatch(at: number): Record<string, Tensor> {
  const index = at % options.batches;
  const shape = [options.batchSize, 3, 32, 32];
  return {
    images: tensor(
      "uint8",
      shape,
      Uint8Array.from(hashedNumbers(1 + index, sizeOf(shape)), (bits) => bits >>> 24),
    ),
    labels: tensor(
      "int32",
      [options.batchSize],
      Int32Array.from(hashedNumbers(101 + index, options.batchSize), (bits) => (bits >>> 8) % options.classes),
    ),
  };
}

const scalars = Object.fromEntries(
  Object.entries(step.optimizer.scalarsAt(0)).map(([name, value]) => [name, scalar(value)]),
);

/** Distance of what is stored of a tensor, and of the whole tensor's length. */
function distanceTo(expected: GoldenTensor, actual: Tensor): number {
  const data = floatData(actual);
  const stored = data.filter((_, i) => i % expected.stride === 0);
  const norm = Math.sqrt(data.reduce((sum, x) => sum + x * x, 0));
  const lengthError = expected.norm === 0 ? norm : Math.abs(norm - expected.norm) / expected.norm;
  return Math.max(relativeDistance(stored, floatData(golden.read(expected.values))), lengthError);
}

function distances(expected: Named<GoldenTensor>, actual: Named<Tensor>): Record<string, number> {
  expect(Object.keys(actual).toSorted()).toEqual(Object.keys(expected).toSorted());
  return Object.fromEntries(Object.entries(expected).map(([name, entry]) => [name, distanceTo(entry, actual[name]!)]));
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

function largest(values: readonly number[]): number {
  return Math.max(...values);
}

/** Parameters and running statistics, not the optimiser's slots. */
function weightsOf(state: Named<Tensor>): Record<string, Tensor> {
  const names = [...model.module.parameters, ...model.module.buffers].map(({ name }) => name);
  return Object.fromEntries(names.map((name) => [name, state[name]!]));
}

const executors: readonly (readonly [string, () => Promise<Executor>])[] = [
  ["ONNX, plain kernels", () => createOnnxExecutor({ device: "cpu", kernels: "plain", threads: 2 })],
  ["ONNX, default kernels", () => createOnnxExecutor({ device: "cpu", kernels: "auto", threads: 2 })],
];

test.each(executors)("%s: loss and gradients of the first step are PyTorch's", async (_, makeExecutor) => {
  const executor = await makeExecutor();
  await using executable = await executor.compile(buildGradStep(step));
  executable.writeState(goldenWeights(model));
  const outputs = await executable.run(goldenBatch(0));
  expect(Math.abs(item(outputs.loss!) / golden.index.losses[0]! - 1)).toBeLessThan(1e-5);
  const gradients = Object.fromEntries(
    Object.entries(outputs)
      .filter(([name]) => name.startsWith("grad/"))
      .map(([name, value]) => [name.slice("grad/".length), value]),
  );
  for (const [name, distance] of Object.entries(distances(golden.index.gradients, gradients))) {
    expect(distance, name).toBeLessThan(gradientBound);
  }
});

test.each(executors)("%s: twenty steps follow PyTorch's", async (_, makeExecutor) => {
  const executor = await makeExecutor();
  await using executable = await executor.compile(buildTrainStep(step));
  executable.writeState(initialState(step, goldenWeights(model)));
  let lossYardstick = 0;
  const compared: number[] = [];
  for (let at = 0; at < options.steps; at++) {
    const outputs = await executable.run({ ...goldenBatch(at), ...scalars });
    const expectedLoss = golden.index.losses[at]!;
    lossYardstick = Math.max(lossYardstick, golden.index.lossFloat32Distance[at]!);
    expect(Math.abs(item(outputs.loss!) / expectedLoss - 1), `loss of step ${at + 1}`).toBeLessThan(
      allowance * lossYardstick + 1e-6,
    );
    const expected = golden.index.states[String(at + 1)];
    if (expected === undefined) continue;
    const found = distances(expected, weightsOf(executable.readState()));
    const yardstick = Object.values(expected).map(({ float32Distance }) => float32Distance);
    for (const of of [median, largest]) {
      expect(of(Object.values(found)), `${of.name} distance of the state after step ${at + 1}`).toBeLessThan(
        allowance * of(yardstick) + 1e-6,
      );
    }
    compared.push(at + 1);
  }
  expect(compared).toEqual([1, 5, 10, 20]);
});
