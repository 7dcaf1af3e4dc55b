import { availableParallelism } from "node:os";
import { createOnnxExecutor } from "../backends/onnx/executor.ts";
import { exportInferenceModel } from "../backends/onnx/export.ts";
import { loadInferenceModel } from "../backends/onnx/inference-model.ts";
import { PipelineError } from "../base/errors.ts";
import { createRng, type Rng } from "../base/rng.ts";
import type { Config } from "../config/schema.ts";
import type { ImageDataset, ImageSplit } from "../data/dataset.ts";
import { firstImages } from "../data/image-memory.ts";
import { createLoader, type Loader } from "../data/loader.ts";
import { normalise, type Preprocessing } from "../inference/preprocess.ts";
import { initialWeights, type Model } from "../models/model.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type BatchSource, limitSteps, overfitOneBatch } from "../training/batches.ts";
import { loadCheckpoint } from "../training/checkpoint.ts";
import { type FitOptions, fit, type TrainResult } from "../training/fit.ts";
import type { ModelFormat } from "../training/validation.ts";
import { configuredAugmentation } from "./configured-augmentation.ts";
import { chooseImages, loadConfiguredDataset, preprocessingOf, splitDataset } from "./configured-dataset.ts";
import { configuredModel } from "./configured-model.ts";
import { configuredOptimizer } from "./configured-optimizer.ts";
import { bind } from "./evaluate-model.ts";
import type { TrainingOutcome } from "./events.ts";
import { finishTraining } from "./finish-training.ts";
import { checkSameData, configFingerprint } from "./resume-check.ts";
import type { TrainingContext, TrainingRequest } from "./training-request.ts";

/** With training.fast_dev: so many steps an epoch, batches of each evaluation, and epochs. */
const fastDev = { steps: 3, batches: 2, epochs: 2 } as const;

/**
 * A whole experiment, from the configuration to the model bundle. It blocks its thread: run it in a worker.
 * @throws RESUME_REFUSED, TRAINING_DIVERGED, and what loading data, compiling and writing throw
 */
export async function runTraining(request: TrainingRequest, context: TrainingContext): Promise<TrainingOutcome> {
  const { signal } = context;
  try {
    return await train(request, context);
  } catch (error) {
    // Stopped while data were loaded or the end was evaluated: nothing is lost, a checkpoint has what there was.
    if (!signal.aborted || error !== signal.reason) throw error;
    return { ...nothingDone, reason: "aborted" };
  }
}

const nothingDone = {
  epochs: 0,
  globalStep: 0,
  trainingFlops: 0,
  synthetic: false,
  bundle: undefined,
  test: undefined,
} satisfies Partial<TrainingOutcome>;

async function train(request: TrainingRequest, context: TrainingContext): Promise<TrainingOutcome> {
  const { config, directory } = request;
  const { signal, onEvent } = context;
  const prepared = await prepare(request, context);
  const { dataset, model } = prepared;
  await using loader = prepared.loader;
  const fingerprint = configFingerprint(config, dataset.digest);
  const format = modelFormat(config);
  const options = await fitOptions(config, prepared, { loader, format });
  const resume = request.mode === "resume" ? await lastCheckpoint(directory, onEvent) : undefined;
  const everySteps = config.training.checkpoint_every_steps;
  const training = fit({ ...options, fingerprint, resume, signal, checkpoint: { directory, everySteps } });
  let result: TrainResult | undefined;
  while (result === undefined) {
    const next = await training.next();
    if (next.done) result = next.value;
    else onEvent(next.value);
  }
  const { reason, epochs, globalStep, trainingFlops } = result;
  const outcome = { reason, epochs, globalStep, trainingFlops, synthetic: dataset.synthetic };
  if (reason === "aborted") return { ...outcome, bundle: undefined, test: undefined };
  if (reason === "not-a-number") throw diverged(globalStep, config);
  return { ...outcome, ...(await finishTraining(request, context, { prepared, result, format, model })) };
}

interface Prepared {
  readonly dataset: ImageDataset;
  readonly validation: ImageSplit | undefined;
  readonly test: ImageSplit;
  readonly preprocessing: Preprocessing;
  readonly model: Model;
  readonly loader: Loader;
  readonly trainIndices: Int32Array;
  readonly rng: Rng;
}

async function prepare(request: TrainingRequest, { signal, onEvent }: TrainingContext): Promise<Prepared> {
  const { config, runId } = request;
  const { fast_dev: fast, batch_size: batchSize, seed } = config.training;
  const rng = createRng(seed);
  const dataset = await loadConfiguredDataset(config, {
    signal,
    onProgress: throttled((progress) => onEvent({ type: "data", ...progress })),
  });
  checkSameData(runId, { before: request.datasetDigest, now: dataset.digest });
  const preprocessing = preprocessingOf(dataset);
  const { trainIndices, validation: held } = splitDataset(config, dataset, rng);
  const few = (split: ImageSplit): ImageSplit =>
    fast ? firstImages(split, fastDev.batches * config.evaluation.batch_size) : split;
  const validation = held === undefined ? undefined : few(held);
  const test = few(dataset.test);
  onEvent({
    type: "dataset",
    name: dataset.name,
    synthetic: dataset.synthetic,
    origin: dataset.origin,
    digest: dataset.digest,
    classes: dataset.classes,
    trainImages: trainIndices.length,
    validationImages: validation?.count ?? 0,
    testImages: test.count,
  });
  const { height, width } = dataset;
  const model = configuredModel(config, { classes: dataset.classes.length, height, width });
  const loader = createLoader({
    split: dataset.train,
    indices: trainIndices,
    batchSize,
    rng: rng.split("loader"),
    augmentation: configuredAugmentation(config, dataset)?.augmentation,
    dropLast: true,
    numWorkers: config.dataset.num_workers,
  });
  return { dataset, validation, test, preprocessing, model, loader, trainIndices, rng };
}

async function fitOptions(
  config: Config,
  { dataset, validation, preprocessing, model, trainIndices, rng }: Prepared,
  { loader, format }: { readonly loader: Loader; readonly format: ModelFormat },
): Promise<Omit<FitOptions, "fingerprint">> {
  const { training, evaluation } = config;
  const batches = chooseBatches(config, loader);
  const epochs = training.fast_dev ? Math.min(fastDev.epochs, training.num_epochs) : training.num_epochs;
  const extent = { epochs, stepsPerEpoch: batches.stepsPerEpoch };
  const sampling = configuredAugmentation(config, dataset)?.sampling;
  const early = training.early_stopping && !training.overfit_one_batch;
  const executor = await createOnnxExecutor({ device: training.device, threads: training.threads });
  if (training.use_amp && !executor.mixedPrecision) {
    throw new PipelineError("DEVICE_UNAVAILABLE", `training.use_amp: ${executor.device} has no fast half precision`, {
      remedy: "set training.use_amp=false",
    });
  }
  return {
    step: {
      model,
      optimizer: configuredOptimizer(config, model, extent),
      batchSize: training.batch_size,
      imageHeight: dataset.height,
      imageWidth: dataset.width,
      mean: preprocessing.mean,
      std: preprocessing.std,
      labelSmoothing: training.label_smoothing,
      precision: training.use_amp ? "mixed" : "float32",
      ...(training.grad_clip_norm === null ? {} : { gradClipNorm: training.grad_clip_norm }),
      ...(sampling === undefined ? {} : { augmentation: sampling }),
    },
    executor,
    rng: rng.split("dropout"),
    initialWeights: initialWeights(
      model,
      rng.split("weights"),
      sampleFor(model, dataset, { trainIndices, preprocessing }),
    ),
    emaDecay: training.ema_decay ?? undefined,
    lookahead: training.lookahead ? {} : undefined,
    batches,
    epochs,
    validation:
      validation === undefined
        ? undefined
        : {
            format,
            split: validation,
            classes: dataset.classes,
            normalise: bind(preprocessing),
            batchSize: evaluation.batch_size,
          },
    // Early stopping watches the loss; what it calls the best is then also what is kept.
    monitor: early ? "loss" : "accuracy",
    earlyStopping: early ? { patience: training.patience } : undefined,
    // A network that learns one batch by heart gets worse on other images: its end is what counts.
    restore: training.overfit_one_batch ? "last" : "best",
  };
}

function chooseBatches({ training }: Config, loader: Loader): BatchSource {
  if (training.overfit_one_batch) return overfitOneBatch(loader, loader.stepsPerEpoch);
  return training.fast_dev ? limitSteps(loader, fastDev.steps) : loader;
}

/** Normalised training images for first weights that are computed from them. */
function sampleFor(
  { dataInit }: Model,
  { train }: ImageDataset,
  { trainIndices, preprocessing }: Pick<Prepared, "trainIndices" | "preprocessing">,
): Tensor<"float32"> | undefined {
  if (dataInit === undefined) return undefined;
  const { images, count, height, width } = chooseImages(train, trainIndices.slice(0, dataInit.sampleCount));
  return normalise({ dtype: "uint8", shape: [count, 3, height, width], data: images }, preprocessing);
}

function modelFormat({ training }: Config): ModelFormat {
  const threads = training.threads > 0 ? training.threads : availableParallelism();
  return { exportModel: exportInferenceModel, loadModel: (bytes) => loadInferenceModel(bytes, { threads }) };
}

async function lastCheckpoint(directory: string, onEvent: TrainingContext["onEvent"]) {
  try {
    const { checkpoint, warning } = await loadCheckpoint(directory);
    if (warning !== undefined) onEvent({ type: "warning", message: warning });
    return checkpoint;
  } catch (error) {
    if (!(error instanceof PipelineError && error.code === "CHECKPOINT_NOT_FOUND")) throw error;
    onEvent({
      type: "warning",
      message: "the run was stopped before its first checkpoint: it starts from the beginning",
    });
    return undefined;
  }
}

function diverged(globalStep: number, { training }: Config): PipelineError {
  return new PipelineError(
    "TRAINING_DIVERGED",
    `the training diverged: loss, gradient or weights were no numbers any more after step ${globalStep}`,
    {
      remedy:
        `lower training.learning_rate (now ${training.learning_rate}), or limit the gradient with ` +
        "training.grad_clip_norm=1, and start a new run",
      details: { globalStep, learningRate: training.learning_rate },
    },
  );
}

/** At most ten calls a second for each stage, the last one always. */
function throttled<T extends { readonly stage: string; readonly done: number; readonly total: number | undefined }>(
  listener: (progress: T) => void,
): (progress: T) => void {
  let last = { stage: "", at: Number.NEGATIVE_INFINITY };
  return (progress) => {
    const at = performance.now();
    if (progress.stage === last.stage && at - last.at < 100 && progress.done !== progress.total) return;
    last = { stage: progress.stage, at };
    listener(progress);
  };
}
