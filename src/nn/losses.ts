import { PipelineError } from "../base/errors.ts";
import { argMax, equal, logSoftmax, mul, neg, oneHot, scale, shift, sumAll } from "../graph/build.ts";
import type { Value } from "../graph/value.ts";

export interface CrossEntropyOptions {
  /** The target is (1 - s) on the label plus s / classes everywhere (Szegedy et al. 2016), as in PyTorch. */
  readonly labelSmoothing?: number;
  /** Over the batch. */
  readonly reduction?: "mean" | "sum";
}

/**
 * Softmax cross-entropy in nats: logits [N, classes], labels int32 [N] -> a scalar.
 * @throws INVALID_ARGUMENT unless 0 <= labelSmoothing < 1
 */
export function crossEntropy(logits: Value, labels: Value, options: CrossEntropyOptions = {}): Value {
  const { labelSmoothing = 0, reduction = "mean" } = options;
  if (!(labelSmoothing >= 0 && labelSmoothing < 1)) {
    throw new PipelineError("INVALID_ARGUMENT", `crossEntropy: label smoothing ${labelSmoothing} is outside 0..1`);
  }
  const [batch = 1, classes = 1] = logits.shape;
  const hard = oneHot(labels, classes);
  const target = labelSmoothing === 0 ? hard : shift(scale(hard, 1 - labelSmoothing), labelSmoothing / classes);
  const total = neg(sumAll(mul(target, logSoftmax(logits))));
  return reduction === "sum" ? total : scale(total, 1 / batch);
}

/** Number of rows whose largest logit is at the label: a float32 scalar. */
export function correctCount(logits: Value, labels: Value): Value {
  return sumAll(equal(argMax(logits), labels));
}
