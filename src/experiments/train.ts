import { createOnnxExecutor } from "../backends/onnx/executor.ts";
import { exportInferenceModel } from "../backends/onnx/export.ts";
import { loadInferenceModel } from "../backends/onnx/inference-model.ts";
import { PipelineError } from "../base/errors.ts";
import { availableCores } from "../base/machine-limits.ts";
import { createRng } from "../base/rng.ts";
import type { Config } from "../config/schema.ts";
import type { BatchSource } from "../data/batch.ts";
import type { ImageSplit } from "../data/dataset.ts";
import { firstImages } from "../data/image-memory.ts";
import { loadCheckpoint } from "../training/checkpoint.ts";
import { type FitOptions, fit, type TrainResult } from "../training/fit.ts";
import { gradualThaw } from "../training/gradual-thaw.ts";
import { limitSteps, overfitOneBatch } from "../training/shortened-batches.ts";
import type { ModelFormat } from "../training/validation.ts";
import { loadConfiguredDataset, splitDataset } from "./configured-dataset.ts";
import { configuredOptimizer } from "./configured-optimizer.ts";
import { dataDoubts } from "./data-doubts.ts";
import type { TrainingOutcome } from "./events.ts";
import { finishTraining } from "./finish-training.ts";
import { checkSameData, configFingerprint } from "./resume-check.ts";
import { trainTogether } from "./train-together.ts";
import { planTraining, type TrainingData, type TrainingPlan } from "./training-plan.ts";
import type { TrainingContext, TrainingRequest } from "./training-request.ts";

/** With training.fast_dev: so many steps an epoch, batches of each evaluation, and epochs. */
const fastDev = { steps: 3, batches: 2, epochs: 2 } as const;

/**
 * A whole experiment, from the configuration to the model bundle. It blocks its thread: run it in a worker.
 * @throws RESUME_REFUSED, TRAINING_DIVERGED, and what loading data, compiling and writing throw
 */
export async function runTraining(request: TrainingRequest, context: TrainingContext): Promise<TrainingOutcome> {
  const { signal } = context;
  let done = nothingDone;
  const onEvent: TrainingContext["onEvent"] = (event) => {
    if (event.type === "dataset") done = { ...done, synthetic: event.synthetic };
    if (event.type === "start") done = { ...done, globalStep: event.resumedFromStep };
    if (event.type === "stop") done = { ...done, globalStep: event.globalStep, epochs: event.epoch };
    context.onEvent(event);
  };
  try {
    return await train(request, { ...context, onEvent });
  } catch (error) {
    // Stopped while data were loaded or the end was evaluated: nothing is lost, a checkpoint has what there was.
    if (!signal.aborted || error !== signal.reason) throw error;
    return { ...done, reason: "aborted" };
  }
}

const nothingDone: Omit<TrainingOutcome, "reason"> = {
  epochs: 0,
  globalStep: 0,
  trainingFlops: 0,
  synthetic: false,
  bundle: undefined,
  test: undefined,
};

async function train(request: TrainingRequest, context: TrainingContext): Promise<TrainingOutcome> {
  const { config, directory } = request;
  const { signal, onEvent } = context;
  const { communicator } = context;
  const threads = config.training.threads > 0 ? config.training.threads : (context.threads ?? 0);
  const format = modelFormat(threads);
  const prepared = await prepare(request, context);
  const { dataset } = prepared;
  await using plan = await planTraining(config, prepared, { ...context, format, share: communicator });
  const fingerprint = configFingerprint(config, dataset.digest, plan.weightsDigest);
  const options = await fitOptions(config, prepared, { plan, format, threads });
  const isOwner = communicator === undefined || communicator.rank === 0;
  const resume = request.mode === "resume" && isOwner ? await lastCheckpoint(directory, onEvent) : undefined;
  const everySteps = config.training.checkpoint_every_steps;
  const checkpoint = isOwner ? { directory, everySteps } : undefined;

  const run = async (more: Pick<FitOptions, "resume" | "together" | "onEnd">): Promise<TrainResult> => {
    const training = fit({ ...options, fingerprint, signal, checkpoint, ...more });
    for (;;) {
      const next = await training.next();
      if (next.done) return next.value;
      onEvent(next.value);
    }
  };
  const finish = async (result: TrainResult): Promise<TrainingOutcome> => {
    const { reason, epochs, globalStep, trainingFlops } = result;
    const outcome = { reason, epochs, globalStep, trainingFlops, synthetic: dataset.synthetic };
    if (reason === "aborted" || !isOwner) return { ...outcome, bundle: undefined, test: undefined };
    if (reason === "not-a-number") throw diverged(globalStep, config);
    const weights = { ...plan.fixed, ...result.weights };
    const { model, preprocessing } = plan;
    const finished = { prepared, result: { ...result, weights }, format, model, preprocessing };
    return { ...outcome, ...(await finishTraining(request, context, finished)) };
  };
  if (communicator === undefined) return finish(await run({ resume }));
  return trainTogether(communicator, { config, directory, fingerprint, resume, run, finish, onEvent });
}

interface Prepared extends TrainingData {
  readonly test: ImageSplit;
}

async function prepare(request: TrainingRequest, { signal, onEvent }: TrainingContext): Promise<Prepared> {
  const { config, runId } = request;
  const { fast_dev: fast, seed } = config.training;
  const rng = createRng(seed);
  const dataset = await loadConfiguredDataset(config, {
    signal,
    onProgress: throttled((progress) => onEvent({ type: "data", ...progress })),
  });
  checkSameData(runId, { before: request.datasetDigest, now: dataset.digest });
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
  for (const message of dataDoubts(config, { dataset, validation, test })) onEvent({ type: "warning", message });
  return { dataset, validation, test, trainIndices, rng };
}

async function fitOptions(
  config: Config,
  { dataset, validation, rng }: Prepared,
  { plan, format, threads }: { readonly plan: TrainingPlan; readonly format: ModelFormat; readonly threads: number },
): Promise<Omit<FitOptions, "fingerprint">> {
  const { training, evaluation, model } = config;
  const batches = chooseBatches(config, plan.batches);
  const epochs = training.fast_dev ? Math.min(fastDev.epochs, training.num_epochs) : training.num_epochs;
  const extent = { epochs, stepsPerEpoch: batches.stepsPerEpoch };
  const early = training.early_stopping && !training.overfit_one_batch;
  const executor = await createOnnxExecutor({
    device: training.device,
    threads,
    runs: training.gradient_accumulation * epochs * batches.stepsPerEpoch,
  });
  if (training.use_amp && !executor.mixedPrecision) {
    throw new PipelineError("DEVICE_UNAVAILABLE", `training.use_amp: ${executor.device} has no fast half precision`, {
      remedy: "set training.use_amp=false",
    });
  }
  const { unfreeze_epochs: every, batch_norm: norm } = model.transfer;
  return {
    step: {
      model: plan.network,
      optimizer: configuredOptimizer(config, plan, extent),
      batchSize: training.batch_size,
      accumulation: training.gradient_accumulation,
      images: plan.images,
      labelSmoothing: training.label_smoothing,
      precision: training.use_amp ? "mixed" : "float32",
      normStatistics: norm === "frozen" ? "running" : "batch",
      ...(training.grad_clip_norm === null ? {} : { gradClipNorm: training.grad_clip_norm }),
    },
    executor,
    networkIn: every === 0 ? undefined : gradualThaw(plan.model, every),
    rng: rng.split("dropout"),
    initialWeights: plan.initial,
    emaDecay: training.ema_decay ?? undefined,
    lookahead: training.lookahead ? {} : undefined,
    batches,
    epochs,
    validation:
      validation === undefined || plan.validation === undefined
        ? undefined
        : {
            format,
            source: plan.validation,
            labels: validation.labels,
            classes: dataset.classes,
            imageSize: dataset,
            batchSize: evaluation.batch_size,
          },
    // Early stopping watches the loss; what it calls the best is then also what is kept.
    monitor: early ? "loss" : "accuracy",
    earlyStopping: early ? { patience: training.patience } : undefined,
    // A network that learns one batch by heart gets worse on other images: its end is what counts.
    restore: training.overfit_one_batch ? "last" : "best",
  };
}

function chooseBatches({ training }: Config, source: BatchSource): BatchSource {
  if (training.overfit_one_batch) return overfitOneBatch(source, source.stepsPerEpoch);
  return training.fast_dev ? limitSteps(source, fastDev.steps) : source;
}

function modelFormat(threads: number): ModelFormat {
  const count = threads > 0 ? threads : availableCores();
  return { exportModel: exportInferenceModel, loadModel: (bytes) => loadInferenceModel(bytes, { threads: count }) };
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
