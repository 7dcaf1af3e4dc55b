import { PipelineError } from "../base/errors.ts";
import {
  add,
  argMax,
  broadcastTo,
  equal,
  logSoftmax,
  mul,
  neg,
  oneHot,
  scale,
  shift,
  sub,
  sumAll,
} from "../graph/build.ts";
import type { Value } from "../graph/value.ts";

export interface CrossEntropyOptions {
  /** The target is (1 - s) on the label plus s / classes everywhere (Szegedy et al. 2016), as in PyTorch. */
  readonly labelSmoothing?: number;
  /** Over the batch. */
  readonly reduction?: "mean" | "sum";
  /** A second label of each row, int32 [N], and its share from 0 to 1, [N]: the target mixes the two (mixup, cutmix). */
  readonly mixed?: { readonly labels: Value; readonly share: Value } | undefined;
}

/**
 * Softmax cross-entropy in nats: logits [N, classes], labels int32 [N] -> a scalar.
 * @throws INVALID_ARGUMENT unless 0 <= labelSmoothing < 1
 */
export function crossEntropy(logits: Value, labels: Value, options: CrossEntropyOptions = {}): Value {
  const { labelSmoothing = 0, reduction = "mean", mixed } = options;
  if (!(labelSmoothing >= 0 && labelSmoothing < 1)) {
    throw new PipelineError("INVALID_ARGUMENT", `crossEntropy: label smoothing ${labelSmoothing} is outside 0..1`);
  }
  const [batch = 1, classes = 1] = logits.shape;
  const own = oneHot(labels, classes);
  const hard = mixed === undefined ? own : blend(own, oneHot(mixed.labels, classes), mixed.share);
  const target = labelSmoothing === 0 ? hard : shift(scale(hard, 1 - labelSmoothing), labelSmoothing / classes);
  const total = neg(sumAll(mul(target, logSoftmax(logits))));
  return reduction === "sum" ? total : scale(total, 1 / batch);
}

/** a + share (b - a), one share a row. */
function blend(a: Value, b: Value, share: Value): Value {
  return add(a, mul(broadcastTo(share, a.shape, [0]), sub(b, a)));
}

/** Number of rows whose largest logit is at the label: a float32 scalar. */
export function correctCount(logits: Value, labels: Value): Value {
  return sumAll(equal(argMax(logits), labels));
}
