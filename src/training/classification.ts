import { PipelineError } from "../base/errors.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { ClassificationMetrics, ClassReport } from "./metrics.ts";

/**
 * Metrics of logits float32 [N, classes] against labels [N]. Precision, recall and F1 are 0 where they are undefined
 * and the macro figures are plain means over all classes, as in scikit-learn with zero_division=0 and all labels given.
 * @throws SHAPE_MISMATCH, INVALID_ARGUMENT (no rows, a label out of range)
 */
export function classificationMetrics(
  logits: Tensor<"float32">,
  labels: Int32Array,
  classes: readonly string[],
): ClassificationMetrics {
  const count = checkLogits(logits, labels, classes.length);
  const confusion = classes.map(() => new Array<number>(classes.length).fill(0));
  let loss = 0;
  let correct = 0;
  for (let n = 0; n < count; n++) {
    const label = labels[n]!;
    const row = logits.data.subarray(n * classes.length, (n + 1) * classes.length);
    const predicted = argMax(row);
    confusion[label]![predicted]! += 1;
    correct += predicted === label ? 1 : 0;
    loss += logSumExp(row, 1) - row[label]!;
  }
  const perClass = classes.map((label, k) => reportOf(label, k, confusion));
  // A class without images has no recall: it is left out rather than counted as 0.
  const present = perClass.filter(({ support }) => support > 0);
  const mean = (pick: (report: ClassReport) => number): number =>
    present.reduce((sum, report) => sum + pick(report), 0) / present.length;
  return {
    loss: loss / count,
    accuracy: correct / count,
    macroPrecision: mean(({ precision }) => precision),
    macroRecall: mean(({ recall }) => recall),
    macroF1: mean(({ f1 }) => f1),
    perClass,
    confusion,
  };
}

function reportOf(label: string, k: number, confusion: readonly (readonly number[])[]): ClassReport {
  const hits = confusion[k]![k]!;
  const support = confusion[k]!.reduce((a, b) => a + b, 0);
  const predicted = confusion.reduce((sum, row) => sum + row[k]!, 0);
  const precision = predicted === 0 ? 0 : hits / predicted;
  const recall = support === 0 ? 0 : hits / support;
  const f1 = hits === 0 ? 0 : (2 * precision * recall) / (precision + recall);
  return { label, precision, recall, f1, support };
}

/** Number of rows of logits [N, classes] that go with labels [N]; throws where they do not fit. */
export function checkLogits({ shape }: Tensor<"float32">, labels: Int32Array, classes: number): number {
  const [count = 0, width] = shape;
  if (shape.length !== 2 || width !== classes || labels.length !== count) {
    throw new PipelineError(
      "SHAPE_MISMATCH",
      `logits [${shape}] do not go with ${labels.length} labels of ${classes} classes`,
    );
  }
  if (count === 0) throw new PipelineError("INVALID_ARGUMENT", "metrics need at least one image");
  const bad = labels.find((label) => label < 0 || label >= classes);
  if (bad !== undefined) throw new PipelineError("INVALID_ARGUMENT", `label ${bad} is outside 0..${classes - 1}`);
  return count;
}

/** Index of the first largest element; NaN is never the largest. */
export function argMax(row: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < row.length; i++) if (row[i]! > row[best]! || Number.isNaN(row[best])) best = i;
  return best;
}

/** log sum exp(inverseTemperature * row), safe from overflow. */
export function logSumExp(row: ArrayLike<number>, inverseTemperature: number): number {
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < row.length; i++) max = Math.max(max, inverseTemperature * row[i]!);
  let sum = 0;
  for (let i = 0; i < row.length; i++) sum += Math.exp(inverseTemperature * row[i]! - max);
  return max + Math.log(sum);
}
