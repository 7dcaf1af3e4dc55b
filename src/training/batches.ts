import { PipelineError } from "../base/errors.ts";
import type { Named, Tensor } from "../tensor/tensor.ts";

/** What a training step is fed with, by the names of its inputs: images, or the features of a frozen part. */
export interface TrainBatch {
  /** Within the epoch, counted from 0. */
  readonly step: number;
  readonly labels: Tensor<"int32">;
  readonly images?: Tensor<"uint8">;
  /** Inputs "augment/NAME" by name. */
  readonly augmentation?: Named<Tensor<"float32">>;
  readonly features?: Tensor<"float32">;
}

/** The inputs that come with the batch. */
export const batchInputs = ["images", "features", "labels"] as const;

/** Where training batches come from; they depend on (seed, epoch, step) alone. Epochs count from 0. */
export interface BatchSource {
  readonly stepsPerEpoch: number;
  epoch(epoch: number, startStep?: number): AsyncIterable<TrainBatch>;
}

/** Only the first steps of each epoch: to try the whole pipeline quickly. */
export function limitSteps(source: BatchSource, steps: number): BatchSource {
  const stepsPerEpoch = Math.min(steps, source.stepsPerEpoch);
  return {
    stepsPerEpoch,
    async *epoch(epoch, startStep = 0) {
      if (startStep >= stepsPerEpoch) return;
      for await (const batch of source.epoch(epoch, startStep)) {
        yield batch;
        if (batch.step + 1 >= stepsPerEpoch) return;
      }
    },
  };
}

/** The first batch again and again: a sound network learns it by heart. */
export function overfitOneBatch(source: BatchSource, stepsPerEpoch: number): BatchSource {
  let first: TrainBatch | undefined;
  return {
    stepsPerEpoch,
    async *epoch(_epoch, startStep = 0) {
      if (first === undefined) {
        for await (const batch of source.epoch(0)) {
          first = batch;
          break;
        }
      }
      if (first === undefined) throw new PipelineError("INVALID_ARGUMENT", "there is no batch to overfit");
      for (let step = startStep; step < stepsPerEpoch; step++) yield { ...first, step };
    },
  };
}
