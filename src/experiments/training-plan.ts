import type { Rng } from "../base/rng.ts";
import type { Config } from "../config/schema.ts";
import type { BatchSource } from "../data/batch.ts";
import type { ImageDataset, ImageSplit } from "../data/dataset.ts";
import { type BatchShare, createLoader } from "../data/loader.ts";
import { normalise, type Preprocessing } from "../inference/preprocess.ts";
import { initialWeights, type Model, type Network } from "../models/model.ts";
import type { FrozenTransfer } from "../models/transfer.ts";
import type { Named, Tensor } from "../tensor/tensor.ts";
import { type EvaluationSource, imageSource } from "../training/evaluate.ts";
import { featureBatches, featureSource } from "../training/feature-batches.ts";
import type { ImagePreparation } from "../training/prepare-images.ts";
import type { ModelFormat } from "../training/validation.ts";
import { configuredAugmentation } from "./configured-augmentation.ts";
import { chooseImages, preprocessingOf } from "./configured-dataset.ts";
import { configuredTransfer } from "./configured-model.ts";
import { configuredNetwork } from "./configured-network.ts";
import type { ConfiguredWeights } from "./configured-weights.ts";
import { bind } from "./evaluate-model.ts";
import { openFrozenFeatures } from "./frozen-features.ts";
import type { TrainingContext } from "./training-request.ts";

/** The images of a training. */
export interface TrainingData {
  readonly dataset: ImageDataset;
  readonly trainIndices: Int32Array;
  readonly validation: ImageSplit | undefined;
  readonly rng: Rng;
}

/** What is trained, from which weights and on what. */
export interface TrainingPlan extends AsyncDisposable {
  /** The whole, as it is served. */
  readonly model: Model;
  /** The part of it that is trained: all, or the head on frozen stages. */
  readonly network: Network;
  /** Of the network. */
  readonly initial: Named<Tensor>;
  /** Of the rest. */
  readonly fixed: Named<Tensor>;
  readonly batches: BatchSource;
  readonly validation: EvaluationSource | undefined;
  /** How the training step prepares images; undefined where it gets features. */
  readonly images: ImagePreparation | undefined;
  readonly preprocessing: Preprocessing;
  /** Of the file of pretrained weights. */
  readonly weightsDigest: string | undefined;
}

type PlanContext = Pick<TrainingContext, "signal" | "onEvent"> & {
  readonly format: ModelFormat;
  /** The part of each batch that this process gets. */
  readonly share?: BatchShare | undefined;
};

/** @throws what reading weights, loading data and computing features throw */
export async function planTraining(config: Config, data: TrainingData, context: PlanContext): Promise<TrainingPlan> {
  const { dataset, rng } = data;
  const { onEvent, signal } = context;
  const { img_size: size } = config.dataset;
  const input = { classes: dataset.classes.length, height: size, width: size };
  const { model, weights } = await configuredNetwork(config, input, {
    signal,
    onProgress: (progress) => onEvent({ type: "data", ...progress }),
  });
  if (weights !== undefined) {
    const { path, digest, replaced } = weights;
    onEvent({ type: "weights", path, digest, loaded: Object.keys(weights.weights).length, replaced });
  }
  const preprocessing = configuredPreprocessing(config, dataset, weights);
  const transfer = weights === undefined ? undefined : configuredTransfer(config, model);
  if (weights === undefined || transfer === undefined) {
    const sample = sampleFor(model, data, preprocessing);
    const initial = { ...initialWeights(model, rng.split("weights"), sample), ...weights?.weights };
    return {
      ...imagePlan(config, data, { preprocessing, share: context.share }),
      model,
      network: model,
      initial,
      ...shared(weights),
    };
  }
  return featurePlan(config, data, { ...context, transfer, weights, preprocessing });
}

function shared(weights: ConfiguredWeights | undefined): Pick<TrainingPlan, "weightsDigest" | "fixed"> {
  return { weightsDigest: weights?.digest, fixed: {} };
}

/** Training on images: those of the loader, augmented in the step. */
function imagePlan(
  config: Config,
  { dataset, trainIndices, validation, rng }: TrainingData,
  { preprocessing, share }: { readonly preprocessing: Preprocessing; readonly share: BatchShare | undefined },
) {
  const augmentation = configuredAugmentation(config, dataset);
  const loader = createLoader({
    split: dataset.train,
    indices: trainIndices,
    batchSize: config.training.batch_size,
    rng: rng.split("loader"),
    augmentation,
    dropLast: true,
    numWorkers: config.dataset.num_workers,
    share,
  });
  return {
    preprocessing,
    batches: loader,
    images: { ...preparation(dataset, preprocessing), augmentation: augmentation?.stages },
    validation:
      validation === undefined ? undefined : imageSource({ split: validation, normalise: bind(preprocessing) }),
    [Symbol.asyncDispose]: () => loader[Symbol.asyncDispose](),
  };
}

interface FeaturePlanContext extends PlanContext {
  readonly transfer: FrozenTransfer;
  readonly weights: ConfiguredWeights;
  readonly preprocessing: Preprocessing;
}

/** Training on features that the frozen stages compute once. */
async function featurePlan(config: Config, data: TrainingData, context: FeaturePlanContext): Promise<TrainingPlan> {
  const { dataset, trainIndices, validation, rng } = data;
  const { transfer, weights, preprocessing, format, share, onEvent, signal } = context;
  const { feature_views: views, feature_dir: directory } = config.model.transfer;
  const augmentation = configuredAugmentation(config, dataset);
  if (views === 0 && augmentation !== undefined) {
    onEvent({
      type: "warning",
      message:
        "the features of each image are computed once, without augmentation; set model.transfer.feature_views to the " +
        "number of augmented views to have, or augmentation.use_augmentation=false",
    });
  }
  const features = await openFrozenFeatures({
    transfer,
    weights: weights.weights,
    preparation: preparation(dataset, preprocessing),
    format,
    dataset,
    trainIndices,
    validation,
    views,
    augmentation,
    augmentationKey: [config.augmentation, config.training.seed],
    rng: rng.split("features"),
    directory,
    signal,
    onProgress: (progress) => onEvent({ type: "data", ...progress }),
  });
  return {
    model: transfer.model,
    network: transfer.trained,
    initial: initialWeights(transfer.trained, rng.split("weights")),
    ...shared(weights),
    fixed: weights.weights,
    batches: featureBatches({
      views: features.train,
      labels: trainIndices.map((index) => dataset.train.labels[index]!),
      batchSize: config.training.batch_size,
      rng: rng.split("loader"),
      share,
    }),
    validation: features.validation === undefined ? undefined : featureSource(features.validation),
    images: undefined,
    preprocessing,
    [Symbol.asyncDispose]: async () => features[Symbol.dispose](),
  };
}

function preparation({ height, width }: ImageDataset, { mean, std }: Preprocessing): ImagePreparation {
  return { height, width, mean, std };
}

/** As the configuration says, else as the pretrained weights want it, else by the training images themselves. */
function configuredPreprocessing(
  { dataset: { mean, std } }: Config,
  dataset: ImageDataset,
  weights: ConfiguredWeights | undefined,
): Preprocessing {
  const triple = ([r, g, b]: readonly number[]): [number, number, number] => [r!, g!, b!];
  const own =
    (mean ?? weights?.mean) === undefined || (std ?? weights?.std) === undefined ? preprocessingOf(dataset) : undefined;
  const { height, width } = dataset;
  return {
    height,
    width,
    resize: "bilinear",
    mean: triple(mean ?? weights?.mean ?? own!.mean),
    std: triple(std ?? weights?.std ?? own!.std),
  };
}

/** Normalised training images for first weights that are computed from them. */
function sampleFor(
  { dataInit }: Model,
  { dataset, trainIndices }: TrainingData,
  preprocessing: Preprocessing,
): Tensor<"float32"> | undefined {
  if (dataInit === undefined) return undefined;
  const chosen = chooseImages(dataset.train, trainIndices.slice(0, dataInit.sampleCount));
  const { images, count, height, width } = chosen;
  return normalise({ dtype: "uint8", shape: [count, 3, height, width], data: images }, preprocessing);
}
