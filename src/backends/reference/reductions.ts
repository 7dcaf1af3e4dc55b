import { sizeOf, stridesOf } from "../../tensor/shape.ts";
import type { ReferenceArray } from "./array.ts";
import { type Evaluator, operandAt } from "./evaluator.ts";
import { walk } from "./layout.ts";

/** Folds the axes away, element by element in row-major order. */
function reduce(
  x: ReferenceArray,
  axes: readonly number[],
  initial: number,
  fold: (accumulated: number, element: number) => number,
): Float64Array {
  const kept = x.shape.filter((_, axis) => !axes.includes(axis));
  const keptStrides = stridesOf(kept);
  let next = 0;
  const strides = x.shape.map((_, axis) => (axes.includes(axis) ? 0 : keptStrides[next++]!));
  const result = new Float64Array(sizeOf(kept)).fill(initial);
  walk(x.shape, strides, 0, (position, index) => {
    result[position] = fold(result[position]!, x.data[index]!);
  });
  return result;
}

export const reduceSum: Evaluator<"reduceSum"> = ({ attrs }, operands) =>
  reduce(operandAt(operands, 0), attrs.axes, 0, (sum, x) => sum + x);

export const reduceMax: Evaluator<"reduceMax"> = ({ attrs }, operands) =>
  reduce(operandAt(operands, 0), attrs.axes, Number.NEGATIVE_INFINITY, Math.max);

export const argMax: Evaluator<"argMax"> = (_, operands) => {
  const x = operandAt(operands, 0);
  const length = x.shape.at(-1)!;
  return new Float64Array(x.data.length / length).map((_, row) => {
    const elements = x.data.subarray(row * length, (row + 1) * length);
    return elements.indexOf(
      elements.reduce((largest, element) => Math.max(largest, element), Number.NEGATIVE_INFINITY),
    );
  });
};

/** x - max - log(sum(exp(x - max))) along rows. */
export const logSoftmax: Evaluator<"logSoftmax"> = (_, operands) => {
  const x = operandAt(operands, 0);
  const classes = x.shape[1]!;
  const result = new Float64Array(x.data.length);
  for (let start = 0; start < x.data.length; start += classes) {
    const row = x.data.subarray(start, start + classes);
    const largest = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const logSum = Math.log(row.reduce((sum, element) => sum + Math.exp(element - largest), 0));
    row.forEach((element, i) => {
      result[start + i] = element - largest - logSum;
    });
  }
  return result;
};
