import { PipelineError } from "../base/errors.ts";
import type { Rng } from "../base/rng.ts";
import type { Config } from "../config/schema.ts";
import { gatherImages } from "../data/batch.ts";
import type { ImageDataset, ImageSplit } from "../data/dataset.ts";
import { fetchDataset, loadDataset } from "../data/load.ts";
import type { OnDataProgress } from "../data/progress.ts";
import { stratifiedSplit } from "../data/split.ts";
import { channelStatistics } from "../data/statistics.ts";
import type { Preprocessing } from "../inference/preprocess.ts";

export interface DatasetOptions {
  /** True: never touch the network. */
  readonly offline?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnDataProgress | undefined;
}

/** Downloads the data set that a configuration names, where it is to be downloaded and is not here. @throws what fetchDataset throws */
export async function fetchConfiguredDataset({ dataset }: Config, options: DatasetOptions = {}): Promise<void> {
  const { name, source, data_dir: dataDir } = dataset;
  await fetchDataset({ name, source, dataDir, ...options });
}

/**
 * The data set that a configuration names.
 * @throws what loadDataset throws; CONFIG_INVALID or CONFIG_UNSUPPORTED when data and configuration do not fit
 */
export async function loadConfiguredDataset(config: Config, options: DatasetOptions = {}): Promise<ImageDataset> {
  const { name, source, data_dir: dataDir, img_size: imgSize, limit, num_classes: classes } = config.dataset;
  const dataset = await loadDataset({ name, source, dataDir, imgSize, limit: limit ?? undefined, ...options });
  if (classes !== null && classes !== dataset.classes.length) {
    throw new PipelineError(
      "CONFIG_INVALID",
      `dataset.num_classes is ${classes}, but ${dataset.name} (${dataset.origin}) has ${dataset.classes.length} classes`,
      { remedy: "correct it, or leave it out to take what the data has" },
    );
  }
  return dataset;
}

/** Training and validation images: indices for the first, copies of the second. */
export interface TrainingSplit {
  readonly trainIndices: Int32Array;
  /** Undefined when nothing is held out. */
  readonly validation: ImageSplit | undefined;
}

export function splitDataset(config: Config, dataset: ImageDataset, rng: Rng): TrainingSplit {
  const { train } = dataset;
  const fraction = config.dataset.validation_fraction;
  const split = stratifiedSplit(train.labels, { fraction, rng: rng.split("split") });
  const validation = split.validation.length === 0 ? undefined : chooseImages(train, split.validation);
  return { trainIndices: split.train, validation };
}

/** Copies of some images of a part, in the given order. */
export function chooseImages(split: ImageSplit, indices: Int32Array): ImageSplit {
  return {
    count: indices.length,
    height: split.height,
    width: split.width,
    images: gatherImages(split, indices),
    labels: indices.map((index) => split.labels[index]!),
  };
}

/** How the network wants its images: scaled by mean and standard deviation of the training part's channels. */
export function preprocessingOf({ train, name, height, width }: ImageDataset): Preprocessing {
  const { mean, std } = channelStatistics(train);
  if (std.some((value) => value === 0)) {
    throw new PipelineError("DATA_FOREIGN", `the training images of ${name} have a colour channel without any change`, {
      remedy: "check the images with `cifar data verify`",
      details: { mean, std },
    });
  }
  return { height, width, resize: "bilinear", mean: [...mean], std: [...std] };
}
