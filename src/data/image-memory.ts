import { PipelineError } from "../base/errors.ts";
import type { ImageSplit } from "./dataset.ts";

/** Bytes that the images of one part may take: what one array can hold on every supported platform. */
export const maxImageBytes = 4 * 1024 ** 3 - 1;

/**
 * A part filled with zeros, in shared memory.
 * @throws INVALID_ARGUMENT when it would exceed `maxImageBytes`.
 */
export function allocateSplit(count: number, height: number, width: number): ImageSplit {
  const bytes = count * 3 * height * width;
  if (bytes > maxImageBytes) {
    throw new PipelineError(
      "INVALID_ARGUMENT",
      `${count} images of ${height} x ${width} take ${bytes} bytes, the limit is ${maxImageBytes}`,
      { remedy: "lower dataset.img_size or set dataset.limit", details: { count, height, width, bytes } },
    );
  }
  return {
    count,
    height,
    width,
    images: new Uint8Array(new SharedArrayBuffer(bytes)),
    labels: new Int32Array(new SharedArrayBuffer(4 * count)),
  };
}

/** The first `limit` images, as views on the same memory. */
export function firstImages(split: ImageSplit, limit: number): ImageSplit {
  if (limit >= split.count) return split;
  const imageBytes = 3 * split.height * split.width;
  return {
    ...split,
    count: limit,
    images: split.images.subarray(0, limit * imageBytes),
    labels: split.labels.subarray(0, limit),
  };
}
