import { setImmediate as nextTurn } from "node:timers/promises";
import type { InferenceModel } from "../graph/executor.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Milliseconds an image. */
export interface ModelTimes {
  readonly alone: number;
  readonly inBatches: number;
}

export const timedBatch = 16;

const roundsAlone = 60;
const roundsInBatches = 15;

/**
 * Medians of two models that take turns, so that whatever else the machine does hits both.
 * @param images of `timedBatch` images
 */
export async function timeModels(
  models: readonly [InferenceModel, InferenceModel],
  images: Tensor<"float32">,
  signal?: AbortSignal,
): Promise<readonly [ModelTimes, ModelTimes]> {
  const size = images.data.length / timedBatch;
  const one: Tensor<"float32"> = {
    dtype: "float32",
    shape: [1, ...images.shape.slice(1)],
    data: images.data.slice(0, size),
  };
  const alone = await medians(models, one, { rounds: roundsAlone, signal });
  const inBatches = await medians(models, images, { rounds: roundsInBatches, signal });
  const timesOf = (i: 0 | 1): ModelTimes => ({ alone: alone[i], inBatches: inBatches[i] / timedBatch });
  return [timesOf(0), timesOf(1)];
}

async function medians(
  models: readonly [InferenceModel, InferenceModel],
  images: Tensor<"float32">,
  { rounds, signal }: { readonly rounds: number; readonly signal: AbortSignal | undefined },
): Promise<readonly [number, number]> {
  const taken: [number[], number[]] = [[], []];
  // The first round allocates.
  for (let round = -1; round < rounds; round++) {
    for (const i of [0, 1] as const) {
      await nextTurn();
      signal?.throwIfAborted();
      const started = performance.now();
      await models[i].run({ images });
      if (round >= 0) taken[i].push(performance.now() - started);
    }
  }
  const median = (all: number[]): number => all.sort((a, b) => a - b)[all.length >> 1]!;
  return [median(taken[0]), median(taken[1])];
}
