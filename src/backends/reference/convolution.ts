import type { ConvAttrs } from "../../graph/ops.ts";
import type { Shape } from "../../tensor/shape.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { type Evaluator, operandAt } from "./evaluator.ts";

/** A run of products along one output row: x[x0 + i * xStep], w[tap], y[y0 + i] for i < count. */
type VisitRow = (x0: number, xStep: number, tap: number, y0: number, count: number) => void;

/**
 * Visits every product x * w -> y of a convolution, one output row and one kernel tap at a time; products with padding
 * are left out. The convolution and both of its gradients are this one walk with another of the three accumulated.
 */
function visitProducts(xShape: Shape, wShape: Shape, yShape: Shape, attrs: ConvAttrs, visit: VisitRow): void {
  const [batch = 0, channels = 0, height = 0, width = 0] = xShape;
  const [outputs = 0, groupInputs = 0, kernelHeight = 0, kernelWidth = 0] = wShape;
  const [, , outHeight = 0, outWidth = 0] = yShape;
  const { strides, pads, dilations, groups } = attrs;
  const groupOutputs = outputs / groups;
  for (let n = 0; n < batch; n++) {
    for (let o = 0; o < outputs; o++) {
      const firstInput = Math.floor(o / groupOutputs) * groupInputs;
      for (let i = 0; i < groupInputs; i++) {
        for (let kh = 0; kh < kernelHeight; kh++) {
          for (let kw = 0; kw < kernelWidth; kw++) {
            const tap = ((o * groupInputs + i) * kernelHeight + kh) * kernelWidth + kw;
            // Column of x under output column 0, and the output columns for which it lies inside the image.
            const left = kw * dilations[1] - pads[1];
            const from = Math.max(0, Math.ceil(-left / strides[1]));
            const to = Math.min(outWidth, Math.floor((width - 1 - left) / strides[1]) + 1);
            for (let oh = 0; oh < outHeight && from < to; oh++) {
              const row = oh * strides[0] + kh * dilations[0] - pads[0];
              if (row < 0 || row >= height) continue;
              const x0 = ((n * channels + firstInput + i) * height + row) * width + left + from * strides[1];
              const y0 = ((n * outputs + o) * outHeight + oh) * outWidth + from;
              visit(x0, strides[1], tap, y0, to - from);
            }
          }
        }
      }
    }
  }
}

export const conv2d: Evaluator<"conv2d"> = ({ shape, attrs }, operands) => {
  const [x, w] = [operandAt(operands, 0), operandAt(operands, 1)];
  const [xs, ws] = [x.data, w.data];
  const y = new Float64Array(sizeOf(shape));
  visitProducts(x.shape, w.shape, shape, attrs, (x0, xStep, tap, y0, count) => {
    const weight = ws[tap]!;
    for (let i = 0; i < count; i++) y[y0 + i]! += xs[x0 + i * xStep]! * weight;
  });
  return y;
};

export const conv2dInputGrad: Evaluator<"conv2dInputGrad"> = ({ shape, attrs }, operands) => {
  const [dy, w] = [operandAt(operands, 0), operandAt(operands, 1)];
  const [dys, ws] = [dy.data, w.data];
  const dx = new Float64Array(sizeOf(shape));
  visitProducts(shape, w.shape, dy.shape, attrs, (x0, xStep, tap, y0, count) => {
    const weight = ws[tap]!;
    for (let i = 0; i < count; i++) dx[x0 + i * xStep]! += dys[y0 + i]! * weight;
  });
  return dx;
};

export const conv2dWeightGrad: Evaluator<"conv2dWeightGrad"> = ({ shape, attrs }, operands) => {
  const [x, dy] = [operandAt(operands, 0), operandAt(operands, 1)];
  const [xs, dys] = [x.data, dy.data];
  const dw = new Float64Array(sizeOf(shape));
  visitProducts(x.shape, shape, dy.shape, attrs, (x0, xStep, tap, y0, count) => {
    let sum = 0;
    for (let i = 0; i < count; i++) sum += xs[x0 + i * xStep]! * dys[y0 + i]!;
    dw[tap]! += sum;
  });
  return dw;
};
