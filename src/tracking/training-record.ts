import type { TrainEvent } from "../training/events.ts";
import type { TerminalStatus } from "./types.ts";

/** What one training event adds to a run. */
export interface TrainingRecord {
  readonly metrics?: Readonly<Record<string, number>>;
  /** Epoch for the metrics of an epoch, global step for those of a step. */
  readonly step?: number;
  readonly tags?: Readonly<Record<string, string>>;
  readonly artifacts?: Readonly<Record<string, string>>;
}

/** The words in which a training event is recorded. Metrics of single steps have names of their own: "step_…". */
export function recordOf(event: TrainEvent): TrainingRecord {
  switch (event.type) {
    case "start":
      return {
        tags: {
          "training.model": event.model,
          "training.device": event.device,
          "training.steps_per_epoch": String(event.stepsPerEpoch),
          "training.parameter_count": String(event.parameterCount),
          "training.flops_per_image": String(event.flopsPerImage),
          ...(event.resumedFromStep > 0 ? { "training.resumed_from_step": String(event.resumedFromStep) } : {}),
        },
      };
    case "step":
      return {
        step: event.globalStep,
        metrics: {
          step_loss: event.loss,
          step_accuracy: event.accuracy,
          learning_rate: event.learningRate,
          gradient_norm: event.gradientNorm,
          step_images_per_second: event.imagesPerSecond,
        },
      };
    case "epoch":
      return {
        step: event.epoch,
        metrics: {
          train_loss: event.trainLoss,
          train_accuracy: event.trainAccuracy,
          epoch_seconds: event.seconds,
          images_per_second: event.imagesPerSecond,
          ...(event.validation === undefined
            ? {}
            : {
                val_loss: event.validation.loss,
                val_accuracy: event.validation.accuracy,
                val_precision: event.validation.macroPrecision,
                val_recall: event.validation.macroRecall,
                val_f1: event.validation.macroF1,
              }),
        },
        ...(event.isBest && event.validation !== undefined
          ? {
              tags: { "training.best_epoch": String(event.epoch) },
              artifacts: {
                "validation.json": `${JSON.stringify({ epoch: event.epoch, ...event.validation }, null, 2)}\n`,
              },
            }
          : {}),
      };
    case "checkpoint":
      return { tags: { "training.checkpoint": event.path } };
    case "stop":
      return { tags: { "training.stop_reason": event.reason } };
    default:
      return event satisfies never;
  }
}

/** How a run ends that stopped for `reason`; a training that never said why it stopped has failed. */
export function statusOf(reason: Extract<TrainEvent, { type: "stop" }>["reason"] | undefined): TerminalStatus {
  switch (reason) {
    case "completed":
    case "early-stopping":
      return "FINISHED";
    case "aborted":
      return "KILLED";
    case "not-a-number":
    case undefined:
      return "FAILED";
    default:
      return reason satisfies never;
  }
}
