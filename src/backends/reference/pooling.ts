import type { PoolAttrs } from "../../graph/ops.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { type Evaluator, imageShape, operandAt } from "./evaluator.ts";

/** Calls `visit` for each window with the positions in x that it covers, row-major, padding left out. */
function visitWindows(
  xShape: readonly [number, number, number, number],
  yShape: readonly [number, number, number, number],
  { kernel, strides, pads }: PoolAttrs,
  visit: (covered: readonly number[], y: number) => void,
): void {
  const [batch, channels, height, width] = xShape;
  const [, , outHeight, outWidth] = yShape;
  for (let plane = 0; plane < batch * channels; plane++) {
    for (let oh = 0; oh < outHeight; oh++) {
      for (let ow = 0; ow < outWidth; ow++) {
        const covered: number[] = [];
        for (let kh = 0; kh < kernel[0]; kh++) {
          for (let kw = 0; kw < kernel[1]; kw++) {
            const row = oh * strides[0] + kh - pads[0];
            const column = ow * strides[1] + kw - pads[1];
            if (row < 0 || row >= height || column < 0 || column >= width) continue;
            covered.push((plane * height + row) * width + column);
          }
        }
        visit(covered, (plane * outHeight + oh) * outWidth + ow);
      }
    }
  }
}

/** Padding never wins. */
export const maxPool2d: Evaluator<"maxPool2d"> = (value, operands) => {
  const x = operandAt(operands, 0);
  const y = new Float64Array(sizeOf(value.shape));
  visitWindows(imageShape(x), imageShape(value), value.attrs, (covered, at) => {
    y[at] = covered.reduce((largest, i) => Math.max(largest, x.data[i]!), Number.NEGATIVE_INFINITY);
  });
  return y;
};

/** The first element of a window, row-major, that equals its maximum takes the whole gradient. */
export const maxPool2dGrad: Evaluator<"maxPool2dGrad"> = (value, operands) => {
  const [x, y, dy] = [operandAt(operands, 0), operandAt(operands, 1), operandAt(operands, 2)];
  const dx = new Float64Array(sizeOf(value.shape));
  visitWindows(imageShape(x), imageShape(y), value.attrs, (covered, at) => {
    const winner = covered.find((i) => x.data[i] === y.data[at]);
    if (winner !== undefined) dx[winner]! += dy.data[at]!;
  });
  return dx;
};

export const avgPool2d: Evaluator<"avgPool2d"> = (value, operands) => {
  const x = operandAt(operands, 0);
  const area = value.attrs.kernel[0] * value.attrs.kernel[1];
  const y = new Float64Array(sizeOf(value.shape));
  visitWindows(imageShape(x), imageShape(value), value.attrs, (covered, at) => {
    y[at] = covered.reduce((sum, i) => sum + x.data[i]!, 0) / area;
  });
  return y;
};

export const avgPool2dGrad: Evaluator<"avgPool2dGrad"> = (value, operands) => {
  const dy = operandAt(operands, 0);
  const area = value.attrs.kernel[0] * value.attrs.kernel[1];
  const dx = new Float64Array(sizeOf(value.shape));
  visitWindows(imageShape(value), imageShape(dy), value.attrs, (covered, at) => {
    for (const i of covered) dx[i]! += dy.data[at]! / area;
  });
  return dx;
};
