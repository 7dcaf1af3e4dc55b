import type { OpAttrs } from "../../graph/ops.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { type Evaluator, imageShape, operandAt } from "./evaluator.ts";
import { roundHalfEven } from "./half.ts";

type Border = OpAttrs["affineSample"]["border"];

/** The element at a whole-pixel position; outside the image it is zero. */
type Pixel = (row: number, column: number) => number;

/**
 * PyTorch's affine_grid followed by grid_sample, both with align_corners=True: -1 and 1 are the centres of the first and
 * last pixel. Border "reflect" mirrors at those centres. Nearest rounds ties to even.
 */
export const affineSample: Evaluator<"affineSample"> = (value, operands) => {
  const [x, theta] = [operandAt(operands, 0), operandAt(operands, 1)];
  const [batch, channels, height, width] = imageShape(x);
  const { height: outHeight, width: outWidth, mode, border } = value.attrs;
  const result = new Float64Array(sizeOf(value.shape));
  for (let n = 0; n < batch; n++) {
    const [xx = 0, xy = 0, x1 = 0, yx = 0, yy = 0, y1 = 0] = theta.data.subarray(n * 6, n * 6 + 6);
    for (let row = 0; row < outHeight; row++) {
      for (let column = 0; column < outWidth; column++) {
        const [u, v] = [normalised(column, outWidth), normalised(row, outHeight)];
        const atColumn = inside((xx * u + xy * v + x1 + 1) * 0.5 * (width - 1), width, border);
        const atRow = inside((yx * u + yy * v + y1 + 1) * 0.5 * (height - 1), height, border);
        for (let c = 0; c < channels; c++) {
          const plane = (n * channels + c) * height;
          const pixel: Pixel = (r, k) =>
            r < 0 || r >= height || k < 0 || k >= width ? 0 : x.data[(plane + r) * width + k]!;
          const at = ((n * channels + c) * outHeight + row) * outWidth + column;
          result[at] =
            mode === "nearest"
              ? pixel(roundHalfEven(atRow), roundHalfEven(atColumn))
              : interpolate(pixel, atRow, atColumn);
        }
      }
    }
  }
  return result;
};

/** PyTorch's grid_sample(mode="bilinear", padding_mode="zeros", align_corners=False). */
export const gridSample: Evaluator<"gridSample"> = (value, operands) => {
  const [x, grid] = [operandAt(operands, 0), operandAt(operands, 1)];
  const [, channels, height, width] = imageShape(x);
  const [batch, , outHeight, outWidth] = imageShape(value);
  const result = new Float64Array(sizeOf(value.shape));
  const plane = outHeight * outWidth;
  for (let n = 0; n < batch; n++) {
    for (let place = 0; place < plane; place++) {
      const at = 2 * (n * plane + place);
      const column = ((grid.data[at]! + 1) * width - 1) / 2;
      const row = ((grid.data[at + 1]! + 1) * height - 1) / 2;
      for (let c = 0; c < channels; c++) {
        const start = (n * channels + c) * height;
        const pixel: Pixel = (r, k) =>
          r < 0 || r >= height || k < 0 || k >= width ? 0 : x.data[(start + r) * width + k]!;
        result[(n * channels + c) * plane + place] = interpolate(pixel, row, column);
      }
    }
  }
  return result;
};

export const lookup: Evaluator<"lookup"> = (_, operands) => {
  const [x, table] = [operandAt(operands, 0), operandAt(operands, 1)];
  const [, , height, width] = imageShape(x);
  const plane = height * width;
  return x.data.map((byte, i) => table.data[Math.floor(i / plane) * 256 + byte]!);
};

/** Position of a pixel's centre on the grid from -1 to 1; a single pixel is at 0. */
function normalised(index: number, size: number): number {
  return size === 1 ? 0 : (2 * index) / (size - 1) - 1;
}

/** Brings a coordinate into the image as the border asks. */
function inside(coordinate: number, size: number, border: Border): number {
  if (border === "zeros") return coordinate;
  const span = size - 1;
  if (span === 0) return 0;
  const folded = Math.abs(coordinate) % (2 * span);
  return folded > span ? 2 * span - folded : folded;
}

function interpolate(pixel: Pixel, row: number, column: number): number {
  const [top, left] = [Math.floor(row), Math.floor(column)];
  const [down, right] = [row - top, column - left];
  return (
    (1 - down) * ((1 - right) * pixel(top, left) + right * pixel(top, left + 1)) +
    down * ((1 - right) * pixel(top + 1, left) + right * pixel(top + 1, left + 1))
  );
}

interface Taps {
  readonly low: number;
  readonly high: number;
  readonly highWeight: number;
}

/** Source pixels of one output pixel: half-pixel centres, clamped at the edges. */
function taps(index: number, from: number, to: number): Taps {
  const position = Math.max(0, ((index + 0.5) * from) / to - 0.5);
  const low = Math.min(Math.floor(position), from - 1);
  return { low, high: Math.min(low + 1, from - 1), highWeight: position - low };
}

/** Visits every (source, destination, weight) of a resize, with positions into the flat arrays. */
function visitWeights(
  [batch, channels, height, width]: readonly [number, number, number, number],
  [, , outHeight, outWidth]: readonly [number, number, number, number],
  visit: (source: number, destination: number, weight: number) => void,
): void {
  for (let plane = 0; plane < batch * channels; plane++) {
    for (let row = 0; row < outHeight; row++) {
      for (let column = 0; column < outWidth; column++) {
        const [v, h] = [taps(row, height, outHeight), taps(column, width, outWidth)];
        const destination = (plane * outHeight + row) * outWidth + column;
        const at = (r: number, c: number): number => (plane * height + r) * width + c;
        visit(at(v.low, h.low), destination, (1 - v.highWeight) * (1 - h.highWeight));
        visit(at(v.low, h.high), destination, (1 - v.highWeight) * h.highWeight);
        visit(at(v.high, h.low), destination, v.highWeight * (1 - h.highWeight));
        visit(at(v.high, h.high), destination, v.highWeight * h.highWeight);
      }
    }
  }
}

export const resize: Evaluator<"resize"> = (value, operands) => {
  const x = operandAt(operands, 0);
  const y = new Float64Array(sizeOf(value.shape));
  visitWeights(imageShape(x), imageShape(value), (source, destination, weight) => {
    y[destination]! += weight * x.data[source]!;
  });
  return y;
};

export const resizeGrad: Evaluator<"resizeGrad"> = (value, operands) => {
  const dy = operandAt(operands, 0);
  const dx = new Float64Array(sizeOf(value.shape));
  visitWeights(imageShape(value), imageShape(dy), (source, destination, weight) => {
    dx[source]! += weight * dy.data[destination]!;
  });
  return dx;
};
