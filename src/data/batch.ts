import { PipelineError } from "../base/errors.ts";
import type { Named, Tensor } from "../tensor/tensor.ts";
import type { ImageSplit } from "./dataset.ts";

/** What a training step is fed with, by the names of its inputs: images, or the features of a frozen part. */
export interface Batch {
  /** Counts from 0 in each epoch. */
  readonly step: number;
  /** [N] */
  readonly labels: Tensor<"int32">;
  /** [N, 3, H, W], not yet augmented. */
  readonly images?: Tensor<"uint8">;
  /** What the augmentation has drawn for the images: inputs "augment/NAME" by name. */
  readonly augmentation?: Named<Tensor<"float32">>;
  readonly features?: Tensor<"float32">;
}

/** The inputs of a training step that come with the batch. */
export const batchInputs = ["images", "features", "labels"] as const satisfies readonly (keyof Batch)[];

/** Images of a split with their augmentation, which is empty without one. */
export interface ImageBatch extends Batch {
  /** Indices of the images in the split. */
  readonly indices: Int32Array;
  readonly images: Tensor<"uint8">;
  readonly augmentation: Named<Tensor<"float32">>;
}

/** Equal parts of a batch, one after the other; they lie in its memory. */
export function divideBatch(batch: Batch, parts: number): readonly Batch[] {
  if (parts === 1) return [batch];
  const size = batch.labels.shape[0]! / parts;
  return Array.from({ length: parts }, (_, part) => {
    const rowsOf = <T extends Tensor>(whole: T): T => {
      const [rows, ...rest] = whole.shape;
      // What is drawn once for the whole batch.
      if (rows !== size * parts) return whole;
      const length = whole.data.length / parts;
      return { ...whole, shape: [size, ...rest], data: whole.data.subarray(part * length, (part + 1) * length) };
    };
    const { step, labels, images, features, augmentation } = batch;
    return {
      step,
      labels: rowsOf(labels),
      ...(images === undefined ? {} : { images: rowsOf(images) }),
      ...(features === undefined ? {} : { features: rowsOf(features) }),
      ...(augmentation === undefined
        ? {}
        : {
            augmentation: Object.fromEntries(
              Object.entries(augmentation).map(([name, value]) => [name, rowsOf(value)]),
            ),
          }),
    };
  });
}

/** Where batches come from; they depend on (seed, epoch, step) alone. Epochs count from 0. */
export interface BatchSource<Item extends Batch = Batch> {
  readonly stepsPerEpoch: number;
  /** The batches of one epoch from `startStep` on: a resumed run sees what an uninterrupted one would have seen. */
  epoch(epoch: number, startStep?: number): AsyncIterable<Item>;
}

/** Pixels of the chosen images, one after the other, in memory of their own. */
export function gatherImages(split: ImageSplit, indices: Int32Array): Uint8Array<ArrayBuffer> {
  const imageBytes = 3 * split.height * split.width;
  const images = new Uint8Array(indices.length * imageBytes);
  for (let i = 0; i < indices.length; i++) {
    const start = indices[i]! * imageBytes;
    images.set(split.images.subarray(start, start + imageBytes), i * imageBytes);
  }
  return images;
}

/** @throws INVALID_ARGUMENT when an index is outside of the split. */
export function requireIndices(split: ImageSplit, indices: Int32Array): void {
  const wrong = indices.find((index) => index < 0 || index >= split.count);
  if (wrong !== undefined) {
    throw new PipelineError("INVALID_ARGUMENT", `image index ${wrong} is outside of a split of ${split.count} images`);
  }
}
