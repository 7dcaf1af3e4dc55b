import { setImmediate as nextTurn } from "node:timers/promises";
import { PipelineError } from "../base/errors.ts";
import type { Batch, BatchSource } from "../data/batch.ts";
import { parameterCount } from "../models/model.ts";
import type { Named, Tensor } from "../tensor/tensor.ts";
import { type Checkpoint, type Progress, saveCheckpoint } from "./checkpoint.ts";
import { type EarlyStopping, isExhausted, type Monitor, nothingYet, observe } from "./early-stopping.ts";
import type { StopReason, TrainEvent } from "./events.ts";
import type { ClassificationMetrics } from "./metrics.ts";
import { allFinite, type RunnerOptions, type StepRunner, startStepRunner } from "./step-runner.ts";
import { type ValidationOptions, validate } from "./validation.ts";

export interface FitOptions extends RunnerOptions {
  readonly batches: BatchSource;
  /** May be a fraction: 9.9 stops before the end of the tenth epoch. */
  readonly epochs: number;
  /** After every epoch. */
  readonly validation?: ValidationOptions | undefined;
  /** What makes an epoch the best; default "accuracy". */
  readonly monitor?: Monitor | undefined;
  readonly earlyStopping?: EarlyStopping | undefined;
  /** Which weights to end with; default "best" (needs validation, else the last ones). */
  readonly restore?: "best" | "last" | undefined;
  /** A checkpoint is written at the end of each epoch, on abort, and every `everySteps` steps. */
  readonly checkpoint?: { readonly directory: string; readonly everySteps?: number | undefined } | undefined;
  /** Names the configuration: a checkpoint of another one is refused. */
  readonly fingerprint: string;
  /** With several processes: one that is asked to stop stops all, after the same step. */
  readonly signal?: AbortSignal | undefined;
  /** Gets the state after the last whole step when the training ends, well or not: others may go on from it. */
  readonly onEnd?: ((checkpoint: Checkpoint) => void) | undefined;
  /** Milliseconds. */
  readonly clock?: (() => number) | undefined;
}

export interface TrainResult {
  readonly reason: StopReason;
  /** Parameters and buffers to serve: of the best epoch, the last, or (nothing good came) the first weights. */
  readonly weights: Named<Tensor>;
  readonly weightsFrom: { readonly kind: "best" | "last" | "initial"; readonly epoch: number };
  /** Validation metrics of exactly these weights. */
  readonly validation: ClassificationMetrics | undefined;
  /** Whole epochs done. */
  readonly epochs: number;
  readonly globalStep: number;
  /** Floating-point operations of all steps, resumed ones included. */
  readonly trainingFlops: number;
  /** Every variable at the end: what a checkpoint would hold. */
  readonly state: Named<Tensor>;
}

const noSums: Progress["running"] = { loss: 0, correct: 0, images: 0, seconds: 0 };

/**
 * Trains and tells about it; stop pulling to stop. Several processes train as one: each with its part of the batches
 * (`together`), all with the same options otherwise, and the same events in all. Ends early when the validation stops improving, when a loss, gradient
 * or weight is no number any more, and when the signal aborts (after saving a checkpoint, if there is a place for it).
 * @throws STATE_MISMATCH for a checkpoint of another configuration, INVALID_ARGUMENT for impossible options
 */
export async function* fit(options: FitOptions): AsyncGenerator<TrainEvent, TrainResult> {
  const { batches, validation, monitor = "accuracy", earlyStopping, restore = "best", checkpoint, together } = options;
  const { clock = () => performance.now() } = options;
  const { model, batchSize, optimizer } = options.step;
  // One process alone must not stop by itself: its signal goes with the next step.
  const signal = together === undefined ? options.signal : undefined;
  const ownBatch = batchSize / (together?.peers.worldSize ?? 1);
  const totalSteps = checkOptions(options);
  const { stepsPerEpoch } = batches;
  await using runner = await startStepRunner(options, { totalSteps, stepsPerEpoch });

  let progress: Progress = options.resume?.progress ?? {
    formatVersion: 1,
    fingerprint: options.fingerprint,
    epoch: 0,
    step: 0,
    globalStep: 0,
    running: noSums,
    best: nothingYet,
  };
  let bestWeights: Named<Tensor> = options.resume?.bestWeights ?? {};
  /** Weights of the last whole epoch, if they are finite; on resume before one they are what the run started from. */
  let lastGood = { weights: runner.evaluationWeights(), epoch: progress.epoch };
  const now = (): Checkpoint => ({ progress, state: runner.readState(), bestWeights });
  const save = async (): Promise<TrainEvent[]> => {
    if (checkpoint === undefined) return [];
    const path = await saveCheckpoint(checkpoint.directory, now());
    return [{ type: "checkpoint", path, globalStep: progress.globalStep }];
  };

  try {
    const epochs = Math.ceil(options.epochs);
    yield {
      type: "start",
      model: model.name,
      device: options.executor.device,
      epochs,
      stepsPerEpoch,
      parameterCount: parameterCount(model),
      flopsPerImage: runner.flopsPerImage,
      resumedFromStep: progress.globalStep,
    };

    let reason: StopReason | undefined;
    while (reason === undefined) {
      if (earlyStopping !== undefined && isExhausted(progress.best, earlyStopping)) reason = "early-stopping";
      else if (progress.epoch >= epochs) reason = "completed";
      if (reason !== undefined) break;

      await runner.enterEpoch(progress.epoch);
      let began = clock();
      const source = progress.globalStep < totalSteps ? batches.epoch(progress.epoch, progress.step) : [];
      for await (const batch of source) {
        checkBatch(batch, ownBatch, progress.step);
        const { loss, correct, gradientNorm, stopping } = await runner.run(batch, progress.globalStep);
        const seconds = (clock() - began) / 1000;
        began = clock();
        const { running } = progress;
        progress = {
          ...progress,
          step: progress.step + 1,
          globalStep: progress.globalStep + 1,
          running: {
            loss: running.loss + loss * batchSize,
            correct: running.correct + correct,
            images: running.images + batchSize,
            seconds: running.seconds + seconds,
          },
        };
        yield {
          type: "step",
          epoch: progress.epoch + 1,
          step: progress.step,
          globalStep: progress.globalStep,
          loss,
          accuracy: correct / batchSize,
          learningRate: optimizer.learningRateAt(progress.globalStep - 1),
          gradientNorm,
          imagesPerSecond: batchSize / seconds,
        };
        if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) reason = "not-a-number";
        // A run blocks the thread: let signals, timers and messages in.
        await nextTurn();
        if (reason === undefined && (signal?.aborted || stopping)) reason = "aborted";
        if (reason !== undefined || progress.globalStep >= totalSteps) break;
        const every = checkpoint?.everySteps ?? 0;
        if (every > 0 && progress.globalStep % every === 0 && progress.step < stepsPerEpoch) yield* await save();
      }
      if (reason !== undefined) break;

      const weights = runner.evaluationWeights();
      if (!allFinite(weights)) {
        reason = "not-a-number";
        break;
      }
      let metrics: ClassificationMetrics | undefined;
      try {
        const run = { signal, peers: together?.peers };
        metrics = validation === undefined ? undefined : await validate(model, weights, { ...validation, ...run });
      } catch (error) {
        if (!signal?.aborted) throw error;
        reason = "aborted";
        break;
      }
      if (metrics !== undefined && !Number.isFinite(metrics.loss)) {
        reason = "not-a-number";
        break;
      }
      lastGood = { weights, epoch: progress.epoch + 1 };
      const { running } = progress;
      progress = { ...progress, epoch: progress.epoch + 1, step: 0, running: noSums };
      let isBest = false;
      if (metrics !== undefined) {
        const best = observe(progress.best, metrics, { epoch: progress.epoch, monitor });
        isBest = best.epoch === progress.epoch;
        if (isBest) bestWeights = weights;
        progress = { ...progress, best, lastMetrics: metrics, ...(isBest ? { bestMetrics: metrics } : {}) };
      }
      yield {
        type: "epoch",
        epoch: progress.epoch,
        globalStep: progress.globalStep,
        trainLoss: running.loss / running.images,
        trainAccuracy: running.correct / running.images,
        validation: metrics,
        seconds: running.seconds,
        imagesPerSecond: running.images / running.seconds,
        isBest,
      };
      yield* await save();
      await nextTurn();
      if (signal?.aborted && progress.epoch < epochs) reason = "aborted";
    }

    // Weights that are no numbers are not worth keeping: the last checkpoint stays as it is.
    if (reason === "aborted") yield* await save();
    yield { type: "stop", reason, globalStep: progress.globalStep, epoch: progress.epoch };
    return { reason, ...chosen(), ...totals(runner) };
  } finally {
    options.onEnd?.(now());
  }

  function chosen(): Pick<TrainResult, "weights" | "weightsFrom" | "validation"> {
    const { best, bestMetrics, lastMetrics } = progress;
    if (restore === "best" && best.epoch > 0) {
      return { weights: bestWeights, weightsFrom: { kind: "best", epoch: best.epoch }, validation: bestMetrics };
    }
    const { weights, epoch } = lastGood;
    const validated = epoch > 0 && epoch === progress.epoch ? lastMetrics : undefined;
    return { weights, weightsFrom: { kind: epoch === 0 ? "initial" : "last", epoch }, validation: validated };
  }

  function totals(of: StepRunner): Pick<TrainResult, "epochs" | "globalStep" | "trainingFlops" | "state"> {
    const { epoch, globalStep } = progress;
    return {
      epochs: epoch,
      globalStep,
      trainingFlops: of.flopsPerImage * batchSize * globalStep,
      state: of.readState(),
    };
  }
}

/** @returns number of steps of the whole training */
function checkOptions({ epochs, batches, resume, fingerprint }: FitOptions): number {
  const totalSteps = Math.ceil(epochs * batches.stepsPerEpoch);
  if (!(epochs > 0 && Number.isFinite(epochs)) || totalSteps < 1) {
    throw new PipelineError("INVALID_ARGUMENT", `fit: ${epochs} epochs of ${batches.stepsPerEpoch} steps`, {
      remedy: "ask for more epochs and use at least one batch of images",
    });
  }
  if (resume !== undefined && resume.progress.fingerprint !== fingerprint) {
    throw new PipelineError(
      "STATE_MISMATCH",
      `the checkpoint belongs to another configuration (${resume.progress.fingerprint}, not ${fingerprint})`,
      { remedy: "resume with the configuration that the run was started with, or start a new run" },
    );
  }
  return totalSteps;
}

function checkBatch({ labels, step }: Batch, batchSize: number, expectedStep: number): void {
  if (labels.shape[0] !== batchSize || step !== expectedStep) {
    throw new PipelineError(
      "INVALID_ARGUMENT",
      `fit: expected step ${expectedStep} with ${batchSize} images, got step ${step} with ${labels.shape[0]}`,
      { remedy: "leave out an incomplete last batch" },
    );
  }
}
