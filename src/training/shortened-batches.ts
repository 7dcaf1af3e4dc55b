import { PipelineError } from "../base/errors.ts";
import type { Batch, BatchSource } from "../data/batch.ts";

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
  let first: Batch | undefined;
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
