import { createHash, type Hash } from "node:crypto";
import type { ImageDataset, ImageSplit } from "./dataset.ts";

/**
 * SHA-256 (hex) of train images, train labels, test images, test labels in this order, labels as little-endian int32:
 * the same for the same pixels whatever archive, folder or machine they came from.
 */
export function digestOf({ train, test }: Pick<ImageDataset, "train" | "test">): string {
  const hash = createHash("sha256");
  update(hash, train);
  update(hash, test);
  return hash.digest("hex");
}

function update(hash: Hash, { images, labels }: ImageSplit): void {
  // One update takes at most 2 GiB.
  const step = 1024 ** 3;
  for (let start = 0; start < images.length; start += step) hash.update(images.subarray(start, start + step));
  const bytes = Buffer.alloc(4 * labels.length);
  labels.forEach((label, i) => {
    bytes.writeInt32LE(label, 4 * i);
  });
  hash.update(bytes);
}
