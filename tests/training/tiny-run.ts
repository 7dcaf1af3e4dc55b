import { expect } from "vitest";
import { createReferenceExecutor } from "../../src/backends/reference/executor.ts";
import { createRng } from "../../src/base/rng.ts";
import type { BatchSource } from "../../src/data/batch.ts";
import { batchAugmentation } from "../../src/data/transforms/batch-augmentation.ts";
import { mirror, padCrop } from "../../src/data/transforms/crop-flip.ts";
import type { Executor } from "../../src/graph/executor.ts";
import type { Graph } from "../../src/graph/graph.ts";
import { airbench } from "../../src/models/airbench.ts";
import { initialWeights, type Model } from "../../src/models/model.ts";
import { resnet9 } from "../../src/models/resnet9.ts";
import { adamw } from "../../src/optim/adamw.ts";
import { oneCycleSchedule } from "../../src/optim/schedules.ts";
import { sgd } from "../../src/optim/sgd.ts";
import { floats, type Named, type Tensor, tensor } from "../../src/tensor/tensor.ts";
import { imageSource } from "../../src/training/evaluate.ts";
import type { TrainEvent } from "../../src/training/events.ts";
import { type FitOptions, fit, type TrainResult } from "../../src/training/fit.ts";
import { decayGroups } from "../../src/training/parameter-groups.ts";
import type { ModelFormat } from "../../src/training/validation.ts";

export const [batchSize, size, classes] = [4, 17, 3];

const augmentation = batchAugmentation({
  augmentations: [padCrop(2, { height: size, width: size }), mirror("random")],
  ...{ source: { height: size, width: size }, target: { height: size, width: size } },
  ...{ border: "reflect", fill: "black" },
});

/** Images whose colour is their class, with noise; batches depend on epoch and step alone. */
export function imagesOf(count: number, seed: string) {
  const rng = createRng(seed);
  const labels = Int32Array.from({ length: count }, (_, i) => i % classes);
  const plane = size * size;
  const images = Uint8Array.from({ length: count * 3 * plane }, (_, i) => {
    const channel = Math.floor(i / plane) % 3;
    return (channel === labels[Math.floor(i / (3 * plane))] ? 170 : 80) + rng.int(60);
  });
  return { count, images, labels, height: size, width: size };
}

export function source(stepsPerEpoch: number): BatchSource {
  return {
    stepsPerEpoch,
    async *epoch(epoch, startStep = 0) {
      for (let step = startStep; step < stepsPerEpoch; step++) {
        const { images, labels } = imagesOf(batchSize, `batch/${epoch}/${step}`);
        yield {
          step,
          images: tensor("uint8", [batchSize, 3, size, size], images),
          labels: tensor("int32", [batchSize], labels),
          augmentation: augmentation.draw({
            // With some draws two pixels of a pooling window come within a rounding of each other; not with these.
            ...{ rng: createRng("shifts"), epoch, images },
            indices: Int32Array.from({ length: batchSize }, (_, i) => step * batchSize + i),
          }),
        };
      }
    },
  };
}

/** Exported "files" that the reference interpreter runs. */
export function referenceFormat(executor: Executor): ModelFormat {
  const exported: { graph: Graph; weights: Named<Tensor> }[] = [];
  return {
    exportModel(graph, weights) {
      exported.push({ graph, weights });
      return Uint8Array.of(exported.length - 1);
    },
    async loadModel(bytes) {
      const { graph, weights } = exported[bytes[0]!]!;
      const executable = await executor.compile(graph);
      executable.writeState(weights);
      return {
        inputs: [],
        outputs: [],
        run: (feeds) => executable.run(feeds),
        [Symbol.asyncDispose]: () => executable[Symbol.asyncDispose](),
      };
    },
  };
}

const normalise = ({ shape, data }: Tensor<"uint8">): Tensor<"float32"> =>
  floats(
    shape,
    Float32Array.from(data, (x) => (x / 255 - 0.5) / 0.25),
  );

export interface Setup {
  readonly model?: Model;
  readonly learningRate?: number;
  readonly stepsPerEpoch?: number;
  readonly optimizer?: "sgd" | "adamw";
  readonly executor?: Executor;
  readonly format?: ModelFormat;
}

export function setup(options: Setup = {}): FitOptions {
  const { model = tinyAirbench(), learningRate = 0.05, stepsPerEpoch = 3, optimizer = "sgd" } = options;
  const { executor = createReferenceExecutor(), format = referenceFormat(executor) } = options;
  const schedule = oneCycleSchedule({ totalSteps: 4 * stepsPerEpoch });
  const groups = decayGroups(model, { learningRate, weightDecay: 1e-3, schedule });
  return {
    step: {
      model,
      optimizer: optimizer === "sgd" ? sgd({ groups }) : adamw({ groups }),
      batchSize,
      images: {
        mean: [0.5, 0.5, 0.5],
        std: [0.25, 0.25, 0.25],
        augmentation: augmentation.stages,
      },
      labelSmoothing: 0.1,
    },
    executor,
    batches: source(stepsPerEpoch),
    epochs: 4,
    rng: createRng(11).split("dropout"),
    initialWeights: initialWeights(
      model,
      createRng(11),
      normalise(tensor("uint8", [6, 3, size, size], imagesOf(6, "w").images)),
    ),
    validation: {
      format,
      source: imageSource({ split: imagesOf(6, "validation"), normalise }),
      labels: imagesOf(6, "validation").labels,
      classes: ["red", "green", "blue"],
      batchSize: 3,
    },
    fingerprint: "test",
    clock: () => 0,
  };
}

export function tinyAirbench(): Model {
  return airbench({
    classes,
    height: size,
    width: size,
    widthFactor: 1 / 32,
    dropoutRate: 0.2,
    whiteningBiasEpochs: 2,
  });
}

export function plainResnet(): Model {
  return resnet9({ classes, height: size, width: size, widthFactor: 1 / 32 });
}

export interface Followed {
  readonly events: TrainEvent[];
  readonly result: TrainResult;
}

export async function follow(options: FitOptions, onEvent: (event: TrainEvent) => void = () => {}): Promise<Followed> {
  const events: TrainEvent[] = [];
  const run = fit(options);
  for (;;) {
    const next = await run.next();
    if (next.done) return { events, result: next.value };
    events.push(next.value);
    onEvent(next.value);
  }
}

export const typesOf = (events: readonly TrainEvent[]): string => events.map(({ type }) => type[0]).join("");

export function expectSameBits(actual: Named<Tensor>, expected: Named<Tensor>): void {
  expect(Object.keys(actual).sort()).toEqual(Object.keys(expected).sort());
  for (const [name, { data }] of Object.entries(expected)) {
    expect(Buffer.from(actual[name]!.data.buffer).equals(Buffer.from(data.buffer)), name).toBe(true);
  }
}
