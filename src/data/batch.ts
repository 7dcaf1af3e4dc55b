import { PipelineError } from "../base/errors.ts";
import type { Named, Tensor } from "../tensor/tensor.ts";
import type { ImageSplit } from "./dataset.ts";

/** One step's images with their augmentation parameters, as the training graph takes them. */
export interface Batch {
  /** Counts from 0 in each epoch. */
  readonly step: number;
  /** Indices of the images in the split. */
  readonly indices: Int32Array;
  /** [N, 3, H, W], not yet augmented. */
  readonly images: Tensor<"uint8">;
  /** [N] */
  readonly labels: Tensor<"int32">;
  /** What the augmentation has drawn for it; empty without one. */
  readonly augmentation: Named<Tensor<"float32">>;
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
