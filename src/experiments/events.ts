import type { DataProgress } from "../data/progress.ts";
import type { StopReason, TrainEvent } from "../training/events.ts";
import type { ClassificationMetrics } from "../training/metrics.ts";
import type { TestTimeAugmentation } from "../training/test-time-augmentation.ts";
import type { BundleQuantization } from "./bundle-quantization.ts";

/** What a whole experiment tells: the events of its training, and what happens before and after. */
export type ExperimentEvent =
  | TrainEvent
  | {
      readonly type: "run";
      readonly runId: string;
      readonly directory: string;
      /** Id in the tracking store; undefined when the store did not take the run. */
      readonly trackingRunId: string | undefined;
      readonly resumed: boolean;
    }
  | ({ readonly type: "data" } & DataProgress)
  | {
      readonly type: "dataset";
      readonly name: string;
      readonly synthetic: boolean;
      readonly origin: string;
      readonly digest: string;
      readonly classes: readonly string[];
      readonly trainImages: number;
      readonly validationImages: number;
      readonly testImages: number;
    }
  | {
      readonly type: "weights";
      readonly path: string;
      /** SHA-256 of the file. */
      readonly digest: string;
      /** Tensors that were taken. */
      readonly loaded: number;
      /** Parameters of the published network that are not taken: those of the head. */
      readonly replaced: readonly string[];
    }
  | { readonly type: "warning"; readonly message: string }
  | ({ readonly type: "evaluation"; readonly synthetic: boolean } & Evaluation)
  | { readonly type: "bundle"; readonly name: string; readonly directory: string }
  | ({ readonly type: "quantization" } & BundleQuantization);

/** Metrics of one set of weights on one part of a data set. */
export interface Evaluation {
  readonly split: "test" | "val";
  readonly images: number;
  readonly metrics: ClassificationMetrics;
  /** The same with test-time augmentation, where it was asked for. */
  readonly withTta:
    | { readonly tta: Exclude<TestTimeAugmentation, "none">; readonly metrics: ClassificationMetrics }
    | undefined;
  /** Mean gap between confidence and accuracy, with the calibrated temperature. */
  readonly calibrationError: number;
  readonly temperature: number;
  readonly seconds: number;
}

/** How an experiment ended. */
export interface TrainingOutcome {
  readonly reason: StopReason;
  readonly epochs: number;
  readonly globalStep: number;
  readonly trainingFlops: number;
  readonly synthetic: boolean;
  /** Undefined when the training was stopped before its end. */
  readonly bundle: { readonly name: string; readonly directory: string } | undefined;
  readonly test: Evaluation | undefined;
}
