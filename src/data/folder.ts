import { readFile, stat } from "node:fs/promises";
import { PipelineError } from "../base/errors.ts";
import { availableCores } from "../base/machine-limits.ts";
import { createRng } from "../base/rng.ts";
import { storageError } from "../base/storage-error.ts";
import type { ImageDataset, ImageSplit } from "./dataset.ts";
import { digestOf } from "./digest.ts";
import { type ImageFile, scanImageFolder } from "./folder-scan.ts";
import { allocateSplit } from "./image-memory.ts";
import type { OnDataProgress } from "./progress.ts";
import { stratifiedSplit } from "./split.ts";
import { decodeImage } from "./transforms/decode-image.ts";

export interface ImageFolderOptions {
  /** Height and width that all images are resized to; default 32. */
  readonly imgSize?: number | undefined;
  /** Decode only the first N training images, in the seeded order. */
  readonly limit?: number | undefined;
  /** Seeds the order of the images and the split into training and test; default 0. */
  readonly seed?: number;
  readonly onProgress?: OnDataProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

const testFraction = 0.2;
const maxFileBytes = 64 * 1024 ** 2;
const maxPixels = 100_000_000;

/**
 * Reads a folder with one sub-folder of images for each class, under `train/` and `test/` (or `val/`) where there are
 * such folders. Without a test folder a fifth of each class becomes the test part, and `origin` says so. Images are in
 * a seeded random order, so that the first N are a fair sample. An image that can't be decoded is an error: nothing is
 * left out in silence.
 * @throws DATA_FOREIGN for another structure, DATA_CORRUPT naming the image, DATA_UNAVAILABLE for a path not there.
 */
export async function readImageFolder(path: string, options: ImageFolderOptions = {}): Promise<ImageDataset> {
  const { imgSize = 32, limit = Number.POSITIVE_INFINITY, seed = 0 } = options;
  const rng = createRng(seed).split("folder");
  const scan = await scanImageFolder(path);
  let { train, test } = scan;
  if (test === undefined) {
    const all = train;
    const labels = Int32Array.from(all, ({ label }) => label);
    const parts = stratifiedSplit(labels, { fraction: testFraction, rng: rng.split("split") });
    train = Array.from(parts.train, (i) => all[i]!);
    test = Array.from(parts.validation, (i) => all[i]!);
  }
  const shuffled = (files: readonly ImageFile[], part: string) =>
    Array.from(rng.split(part).permutation(files.length), (i) => files[i]!);
  const trainFiles = shuffled(train, "train").slice(0, limit);
  const testFiles = shuffled(test, "test");
  const report = progressOver(trainFiles.length + testFiles.length, options.onProgress);
  const split = {
    train: await decodeAll(trainFiles, imgSize, report, options.signal),
    test: await decodeAll(testFiles, imgSize, report, options.signal),
  };
  return {
    name: "folder",
    synthetic: false,
    origin: `${path} (${scan.description})`,
    classes: scan.classes,
    height: imgSize,
    width: imgSize,
    digest: digestOf(split),
    ...split,
  };
}

function progressOver(total: number, onProgress: OnDataProgress | undefined): () => void {
  let done = 0;
  return () => onProgress?.({ stage: "decode", done: ++done, total });
}

async function decodeAll(
  files: readonly ImageFile[],
  side: number,
  report: () => void,
  signal: AbortSignal | undefined,
): Promise<ImageSplit> {
  const split = allocateSplit(files.length, side, side);
  const imageBytes = 3 * side * side;
  let next = 0;
  let failed = false;
  const work = async (): Promise<void> => {
    while (next < files.length && !failed) {
      signal?.throwIfAborted();
      const i = next++;
      const { path, label } = files[i]!;
      split.images.set(await decodeFile(path, side), i * imageBytes);
      split.labels[i] = label;
      report();
    }
  };
  const guarded = () =>
    work().catch((error: unknown) => {
      failed = true;
      throw error;
    });
  await Promise.all(Array.from({ length: Math.min(4, availableCores()) }, guarded));
  return split;
}

async function decodeFile(path: string, side: number): Promise<Uint8Array> {
  try {
    const { size } = await stat(path);
    if (size > maxFileBytes) throw new Error(`it has ${size} bytes, the limit is ${maxFileBytes}`);
    const limits = { maxBytes: maxFileBytes, maxPixels };
    return (await decodeImage(await readFile(path), { height: side, width: side }, limits)).data;
  } catch (cause) {
    const storage = storageError(cause, path);
    if (storage !== undefined) throw storage;
    const reason = cause instanceof Error ? cause.message.split("; ", 1)[0]! : String(cause);
    throw new PipelineError("DATA_CORRUPT", `cannot use ${path}: ${reason}`, {
      remedy: "repair, replace or remove this image",
      details: { file: path },
      cause,
    });
  }
}
