import type { ImageSplit } from "../data/dataset.ts";
import type { InferenceModel } from "../graph/executor.ts";
import { normalise, type Preprocessing } from "../inference/preprocess.ts";
import { expectedCalibrationError } from "../training/calibration.ts";
import { classificationMetrics } from "../training/classification.ts";
import { logitsOf } from "../training/evaluate.ts";
import type { TestTimeAugmentation } from "../training/test-time-augmentation.ts";
import type { Evaluation } from "./events.ts";

export interface EvaluationSetup {
  /** The exported model, as it is served. */
  readonly model: InferenceModel;
  readonly preprocessing: Preprocessing;
  readonly classes: readonly string[];
  readonly batchSize: number;
  readonly temperature: number;
  readonly signal?: AbortSignal | undefined;
}

export interface EvaluationRequest {
  readonly split: Evaluation["split"];
  readonly images: ImageSplit;
  readonly tta: TestTimeAugmentation;
}

/** Metrics of the served model on one part of a data set, plain and, where asked for, with test-time augmentation. */
export async function evaluateModel(
  setup: EvaluationSetup,
  { split, images, tta }: EvaluationRequest,
): Promise<Evaluation> {
  const { model, preprocessing, classes, batchSize, temperature, signal } = setup;
  const started = performance.now();
  const options = { model, split: images, normalise: bind(preprocessing), batchSize, signal };
  const logits = await logitsOf(options);
  const metrics = classificationMetrics(logits, images.labels, classes);
  const withTta =
    tta === "none"
      ? undefined
      : { tta, metrics: classificationMetrics(await logitsOf({ ...options, tta }), images.labels, classes) };
  return {
    split,
    images: images.count,
    metrics,
    withTta,
    calibrationError: expectedCalibrationError(logits, images.labels, { temperature }),
    temperature,
    seconds: (performance.now() - started) / 1000,
  };
}

/** `normalise` for one way of preprocessing. */
export function bind(preprocessing: Preprocessing) {
  return (images: Parameters<typeof normalise>[0]) => normalise(images, preprocessing);
}
