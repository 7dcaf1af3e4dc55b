import { createOnnxExecutor } from "../backends/onnx/executor.ts";
import { createRng } from "../base/rng.ts";
import type { Config } from "../config/schema.ts";
import { gatherImages } from "../data/batch.ts";
import type { ImageDataset } from "../data/dataset.ts";
import { type ImageBatch, writeContactSheet } from "../data/preview.ts";
import { augmentedImages } from "../training/augmented-images.ts";
import { configuredAugmentation } from "./configured-augmentation.ts";
import { preprocessingOf } from "./configured-dataset.ts";

export interface PreviewOptions {
  readonly file: string;
  readonly part: "train" | "test";
  /** Augmented views of each image. */
  readonly views: number;
}

export interface Preview {
  /** Class names of the rows, from the top. */
  readonly rows: readonly string[];
  /** Drawn for each image: 0 where the configuration changes nothing. */
  readonly views: number;
}

/** Writes a sheet of images and of what the configured augmentation makes of them in its first epochs. */
export async function previewDataset(
  config: Config,
  dataset: ImageDataset,
  { file, part, views }: PreviewOptions,
): Promise<Preview> {
  const augmentation = configuredAugmentation(config, dataset);
  const drawn = augmentation === undefined ? 0 : views;
  const split = dataset[part];
  const { height, width, mean, std } = preprocessingOf(dataset);
  const target = { height: config.dataset.img_size, width: config.dataset.img_size };
  const executor = await createOnnxExecutor();
  const rng = createRng(config.training.seed);
  const view = (epoch: number) => {
    return async (indices: Int32Array): Promise<ImageBatch> => {
      if (augmentation === undefined) return { height, width, data: gatherImages(split, indices) };
      const context = { rng: rng.split("loader"), epoch, indices, images: gatherImages(split, indices) };
      const preparation = { height, width, mean, std };
      const images = await augmentedImages(context, { executor, augmentation, preparation, target });
      return { ...target, data: Uint8Array.from(images, (value) => Math.min(255, Math.max(0, Math.round(value)))) };
    };
  };
  const rows = await writeContactSheet(dataset, {
    file,
    part,
    views: Array.from({ length: drawn }, (_, epoch) => view(epoch)),
    magnification: drawn > 0 ? 3 : 2,
    rng: createRng(0),
  });
  return { rows, views: drawn };
}
