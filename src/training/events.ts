import type { ClassificationMetrics } from "./metrics.ts";

/** What a training run tells whoever listens: progress bar, tracking store, tuner, web page. */
export type TrainEvent =
  | {
      readonly type: "start";
      readonly model: string;
      readonly device: string;
      readonly epochs: number;
      readonly stepsPerEpoch: number;
      readonly parameterCount: number;
      /** Estimated training FLOPs (multiply and add counted apart) for one image: forward and backward. */
      readonly flopsPerImage: number;
      readonly resumedFromStep: number;
    }
  | {
      readonly type: "step";
      /** Epochs and steps count from 1. */
      readonly epoch: number;
      readonly step: number;
      readonly globalStep: number;
      readonly loss: number;
      readonly accuracy: number;
      readonly learningRate: number;
      readonly gradientNorm: number;
      readonly imagesPerSecond: number;
    }
  | {
      readonly type: "epoch";
      readonly epoch: number;
      readonly globalStep: number;
      readonly trainLoss: number;
      readonly trainAccuracy: number;
      readonly validation: ClassificationMetrics | undefined;
      readonly seconds: number;
      readonly imagesPerSecond: number;
      readonly isBest: boolean;
    }
  | { readonly type: "checkpoint"; readonly path: string; readonly globalStep: number }
  | { readonly type: "stop"; readonly reason: StopReason; readonly globalStep: number; readonly epoch: number };

export type StopReason = "completed" | "early-stopping" | "not-a-number" | "aborted";
