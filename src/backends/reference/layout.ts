import { sizeOf, stridesOf } from "../../tensor/shape.ts";
import { type Evaluator, operandAt } from "./evaluator.ts";

/** Calls `visit` for every element of `shape`, row-major, with its position along `strides` from `offset`. */
export function walk(
  shape: readonly number[],
  strides: readonly number[],
  offset: number,
  visit: (position: number, index: number) => void,
): void {
  const size = sizeOf(shape);
  const at = shape.map(() => 0);
  let position = offset;
  for (let index = 0; index < size; index++) {
    visit(position, index);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      position += strides[axis]!;
      at[axis]!++;
      if (at[axis]! < shape[axis]!) break;
      position -= at[axis]! * strides[axis]!;
      at[axis] = 0;
    }
  }
}

/** Reads an array of `shape` out of `data` along `strides`. */
function gather(
  data: Float64Array,
  shape: readonly number[],
  strides: readonly number[],
  offset: number,
): Float64Array {
  const result = new Float64Array(sizeOf(shape));
  walk(shape, strides, offset, (position, index) => {
    result[index] = data[position]!;
  });
  return result;
}

export const transpose: Evaluator<"transpose"> = ({ shape, attrs }, operands) => {
  const x = operandAt(operands, 0);
  const strides = stridesOf(x.shape);
  const permuted = attrs.perm.map((from) => strides[from]!);
  return gather(x.data, shape, permuted, 0);
};

export const broadcast: Evaluator<"broadcast"> = ({ shape, attrs }, operands) => {
  const x = operandAt(operands, 0);
  const strides = stridesOf(x.shape);
  const repeated = shape.map((_, axis) => strides[attrs.axes.indexOf(axis)] ?? 0);
  return gather(x.data, shape, repeated, 0);
};

export const slice: Evaluator<"slice"> = ({ shape, attrs }, operands) => {
  const x = operandAt(operands, 0);
  const strides = stridesOf(x.shape);
  return gather(x.data, shape, strides, attrs.start * strides[attrs.axis]!);
};

export const flip: Evaluator<"flip"> = ({ shape, attrs }, operands) => {
  const x = operandAt(operands, 0);
  const strides = stridesOf(x.shape);
  const last = attrs.axes.reduce((offset, axis) => offset + (shape[axis]! - 1) * strides[axis]!, 0);
  const reversed = strides.map((stride, axis) => (attrs.axes.includes(axis) ? -stride : stride));
  return gather(x.data, shape, reversed, last);
};

export const pad: Evaluator<"pad"> = ({ shape, attrs }, operands) => {
  const x = operandAt(operands, 0);
  const result = new Float64Array(sizeOf(shape));
  const strides = stridesOf(shape);
  walk(x.shape, strides, attrs.before * strides[attrs.axis]!, (position, index) => {
    result[position] = x.data[index]!;
  });
  return result;
};

export const concat: Evaluator<"concat"> = ({ shape, attrs }, operands) => {
  const result = new Float64Array(sizeOf(shape));
  const strides = stridesOf(shape);
  let start = 0;
  for (const part of operands) {
    walk(part.shape, strides, start * strides[attrs.axis]!, (position, index) => {
      result[position] = part.data[index]!;
    });
    start += part.shape[attrs.axis]!;
  }
  return result;
};
