import { createHash } from "node:crypto";
import type { Rng } from "../base/rng.ts";
import { gatherImages } from "../data/batch.ts";
import type { ImageDataset, ImageSplit } from "../data/dataset.ts";
import type { OnDataProgress } from "../data/progress.ts";
import type { Augmentation, AugmentationStages } from "../data/transforms/augmentation.ts";
import type { FrozenTransfer } from "../models/transfer.ts";
import { type Named, type Tensor, tensor } from "../tensor/tensor.ts";
import { createFeatureExtractor, type FeatureExtractor } from "../training/feature-extractor.ts";
import { type FeatureTable, openFeatureTable } from "../training/feature-table.ts";
import type { ImagePreparation } from "../training/prepare-images.ts";
import type { ModelFormat } from "../training/validation.ts";

export interface FrozenFeaturesOptions {
  readonly transfer: FrozenTransfer;
  readonly weights: Named<Tensor>;
  readonly preparation: ImagePreparation;
  readonly format: ModelFormat;
  readonly dataset: ImageDataset;
  readonly trainIndices: Int32Array;
  readonly validation: ImageSplit | undefined;
  /** Augmented views beside the images themselves. */
  readonly views: number;
  readonly augmentation: Augmentation | undefined;
  /** Draws the views. */
  readonly rng: Rng;
  /** Everything of the configuration that the drawing depends on. */
  readonly augmentationKey: unknown;
  readonly directory: string;
  readonly onProgress?: OnDataProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface FrozenFeatures extends Disposable {
  /** Of the training images: as they are, then augmented. */
  readonly train: readonly FeatureTable[];
  readonly validation: FeatureTable | undefined;
}

/** Images that are run and written at once. */
const chunkRows = 64;

/**
 * Features of all training and validation images, computed once and kept on disk: under a digest of the model file
 * (weights, preprocessing, resampling), the images and the augmentation, so that any other input is another table.
 */
export async function openFrozenFeatures(options: FrozenFeaturesOptions): Promise<FrozenFeatures> {
  const { dataset, trainIndices, validation, views, augmentation } = options;
  const tables: FeatureTable[] = [];
  const close = (): void => {
    for (const table of tables.splice(0)) table[Symbol.dispose]();
  };
  const keep = async (opening: Promise<FeatureTable>): Promise<FeatureTable> => {
    const table = await opening;
    tables.push(table);
    return table;
  };
  try {
    await using plain = await extractor(options);
    const train = [await keep(openTable(options, plain, { split: dataset.train, indices: trainIndices, view: 0 }))];
    const held =
      validation === undefined
        ? undefined
        : await keep(openTable(options, plain, { split: validation, indices: everyIndex(validation), view: 0 }));
    if (views > 0 && augmentation !== undefined) {
      await using augmented = await extractor(options, augmentation.stages);
      for (let view = 1; view <= views; view++) {
        train.push(await keep(openTable(options, augmented, { split: dataset.train, indices: trainIndices, view })));
      }
    }
    return { train, validation: held, [Symbol.dispose]: close };
  } catch (error) {
    close();
    throw error;
  }
}

function extractor(
  { transfer, weights, preparation, format }: FrozenFeaturesOptions,
  stages?: AugmentationStages,
): Promise<FeatureExtractor> {
  const { model, backbone } = transfer;
  return createFeatureExtractor({
    name: model.name,
    backbone,
    weights,
    input: model.input,
    preparation: { ...preparation, augmentation: stages },
    format,
  });
}

interface Rows {
  readonly split: ImageSplit;
  readonly indices: Int32Array;
  /** 0: the images as they are. */
  readonly view: number;
}

function openTable(
  options: FrozenFeaturesOptions,
  by: FeatureExtractor,
  { split, indices, view }: Rows,
): Promise<FeatureTable> {
  const { augmentation, augmentationKey, rng, directory, onProgress, signal } = options;
  const { height, width } = split;
  const drawn = view === 0 ? undefined : augmentation;
  const key = {
    formatVersion: 1,
    model: by.digest,
    images: imagesDigest(split, indices),
    chunkRows,
    ...(drawn === undefined ? {} : { view, augmentation: augmentationKey }),
  };
  return openFeatureTable({
    directory,
    key,
    count: indices.length,
    shape: by.shape,
    chunkRows,
    async compute(start, end) {
      const chosen = indices.slice(start, end);
      const count = chosen.length;
      const images = tensor("uint8", [count, 3, height, width], gatherImages(split, chosen));
      if (drawn === undefined) return by.run({ images });
      const parameters = drawn.draw({ rng: rng.split(view), epoch: view - 1, indices: chosen, images: images.data });
      const feeds = Object.entries(parameters).map(([name, value]) => [`augment/${name}`, value] as const);
      return by.run({ images, ...Object.fromEntries(feeds) });
    },
    onProgress: ({ done, total, computed }) => {
      if (computed > 0) onProgress?.({ stage: "features", done, total });
    },
    signal,
  });
}

function everyIndex({ count }: ImageSplit): Int32Array {
  return Int32Array.from({ length: count }, (_, i) => i);
}

/** Of the pixels themselves: where they came from does not matter. */
function imagesDigest(split: ImageSplit, indices: Int32Array): string {
  const hash = createHash("sha256").update(`${split.height}x${split.width}`);
  const size = 3 * split.height * split.width;
  for (const index of indices) hash.update(split.images.subarray(index * size, (index + 1) * size));
  return hash.digest("hex");
}
