import { PipelineError } from "../base/errors.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { argMax, checkLogits, logSumExp } from "./classification.ts";

export interface Calibration {
  /** Divide logits by it before the softmax. */
  readonly temperature: number;
  /** Mean negative log-likelihood in nats before and after. */
  readonly lossBefore: number;
  readonly lossAfter: number;
}

/** Fewer images than this say nothing sure about confidence. */
const minCalibrationImages = 30;
const [minTemperature, maxTemperature] = [0.05, 20];

/** The temperature to serve with; `doubt` says why it stays 1 where it can't be estimated. */
export interface TemperatureEstimate {
  readonly temperature: number;
  readonly doubt?: string;
}

/** `fitTemperature` where the images tell it: enough of them, and a minimum within the bounds. */
export function estimateTemperature(logits: Tensor<"float32">, labels: Int32Array): TemperatureEstimate {
  if (labels.length < minCalibrationImages) {
    const doubt = `${labels.length} validation images are too few to calibrate confidences, ${minCalibrationImages} are needed`;
    return { temperature: 1, doubt };
  }
  const { temperature } = fitTemperature(logits, labels);
  const within = temperature > minTemperature * 1.01 && temperature < maxTemperature / 1.01;
  return within
    ? { temperature }
    : { temperature: 1, doubt: "the validation images set no bound to the confidences, so they are not calibrated" };
}

/**
 * Temperature that minimises the negative log-likelihood (Guo et al. 2017) by golden-section search over log
 * temperature within 0.05..20: the loss is convex in 1 / temperature, so there is one minimum.
 * @throws INVALID_ARGUMENT when a logit is not finite
 */
export function fitTemperature(logits: Tensor<"float32">, labels: Int32Array): Calibration {
  const classes = logits.shape[1] ?? 0;
  const count = checkLogits(logits, labels, classes);
  if (!logits.data.every(Number.isFinite)) {
    throw new PipelineError("INVALID_ARGUMENT", "fitTemperature: the logits hold a number that is not finite");
  }
  const rows = Array.from({ length: count }, (_, n) => logits.data.subarray(n * classes, (n + 1) * classes));
  const lossAt = (logTemperature: number): number => {
    const inverse = Math.exp(-logTemperature);
    return rows.reduce((sum, row, n) => sum + logSumExp(row, inverse) - inverse * row[labels[n]!]!, 0) / count;
  };
  const ratio = (Math.sqrt(5) - 1) / 2;
  let [low, high] = [Math.log(minTemperature), Math.log(maxTemperature)];
  let [left, right] = [high - ratio * (high - low), low + ratio * (high - low)];
  let [lossLeft, lossRight] = [lossAt(left), lossAt(right)];
  while (high - low > 1e-6) {
    if (lossLeft <= lossRight) {
      [high, right, lossRight] = [right, left, lossLeft];
      left = high - ratio * (high - low);
      lossLeft = lossAt(left);
    } else {
      [low, left, lossLeft] = [left, right, lossRight];
      right = low + ratio * (high - low);
      lossRight = lossAt(right);
    }
  }
  const best = (low + high) / 2;
  return { temperature: Math.exp(best), lossBefore: lossAt(0), lossAfter: lossAt(best) };
}

export interface CalibrationErrorOptions {
  readonly temperature?: number;
  /** Of equal width over 0..1. */
  readonly bins?: number;
}

/** Expected calibration error: mean over images of |accuracy - confidence| of the confidence bin they fall in. */
export function expectedCalibrationError(
  logits: Tensor<"float32">,
  labels: Int32Array,
  { temperature = 1, bins = 15 }: CalibrationErrorOptions = {},
): number {
  const classes = logits.shape[1] ?? 0;
  const count = checkLogits(logits, labels, classes);
  const gaps = new Float64Array(bins);
  for (let n = 0; n < count; n++) {
    const row = logits.data.subarray(n * classes, (n + 1) * classes);
    const predicted = argMax(row);
    const confidence = Math.exp(row[predicted]! / temperature - logSumExp(row, 1 / temperature));
    const bin = Math.min(bins - 1, Math.max(0, Math.ceil(confidence * bins) - 1));
    gaps[bin]! += (predicted === labels[n] ? 1 : 0) - confidence;
  }
  return gaps.reduce((sum, gap) => sum + Math.abs(gap), 0) / count;
}
