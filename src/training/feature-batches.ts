import { PipelineError } from "../base/errors.ts";
import type { Rng } from "../base/rng.ts";
import type { BatchSource } from "../data/batch.ts";
import { type BatchShare, shareOf } from "../data/loader.ts";
import { tensor } from "../tensor/tensor.ts";
import type { EvaluationSource } from "./evaluate.ts";
import type { FeatureTable } from "./feature-table.ts";

export interface FeatureBatchesOptions {
  /** The same images in the same order in each: epochs take the views in turn. */
  readonly views: readonly FeatureTable[];
  /** Of the tables' rows. */
  readonly labels: Int32Array;
  readonly batchSize: number;
  /** Shuffles each epoch. */
  readonly rng: Rng;
  /** Give only this part of each batch. */
  readonly share?: BatchShare | undefined;
}

/** Batches of features; an incomplete last batch is left out. @throws INVALID_ARGUMENT when not one batch is full */
export function featureBatches({ views, labels, batchSize, rng, share }: FeatureBatchesOptions): BatchSource {
  const stepsPerEpoch = Math.floor(labels.length / batchSize);
  if (stepsPerEpoch === 0) {
    throw new PipelineError("INVALID_ARGUMENT", `${labels.length} images do not fill one batch of ${batchSize}`, {
      remedy: "lower training.batch_size or use more images",
    });
  }
  const { start, end } = shareOf(batchSize, { share, dropLast: true });
  return {
    stepsPerEpoch,
    async *epoch(epoch, startStep = 0) {
      const table = views[epoch % views.length]!;
      const order = rng.split("order").split(epoch).permutation(labels.length);
      for (let step = startStep; step < stepsPerEpoch; step++) {
        const rows = Int32Array.from(order.slice(step * batchSize + start, step * batchSize + end));
        yield {
          step,
          features: table.read(rows),
          labels: tensor(
            "int32",
            [end - start],
            rows.map((row) => labels[row]!),
          ),
        };
      }
    },
  };
}

/** Rows of a table as the input "features". */
export function featureSource(table: FeatureTable): EvaluationSource {
  const { count } = table;
  return {
    count,
    views: [
      {
        weight: 1,
        batch(start, batchSize) {
          // Behind the end the last row again: its logits are not looked at.
          const rows = Int32Array.from({ length: batchSize }, (_, i) => Math.min(start + i, count - 1));
          return { features: table.read(rows) };
        },
      },
    ],
  };
}
