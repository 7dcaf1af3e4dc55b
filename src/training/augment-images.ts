import type { AugmentationStages } from "../data/transforms/augmentation.ts";
import { type WarpStage, warpFunctions } from "../data/transforms/warp.ts";
import * as g from "../graph/build.ts";
import type { Value } from "../graph/value.ts";
import type { Shape } from "../tensor/shape.ts";
import { floats } from "../tensor/tensor.ts";

/** Declares the input "augment/NAME" [N, ...shape]. */
export type AugmentationInput = (name: string, shape: Shape) => Value;

type Image = readonly [number, number, number, number];

/** The stages up to the colours: bytes [N, 3, H, W] to float32 on the scale 0..255. */
export function changeColors(images: Value, stages: AugmentationStages, input: AugmentationInput): Value {
  let x = stages.curves ? g.lookup(images, input("curves", [3, 256])) : g.cast(images, "float32");
  if (stages.median) {
    const amount = input("median", [3]);
    x = g.add(x, g.channelAffine(g.sub(medianOf9(x), x), amount, g.filled(amount.shape, 0)));
  }
  if (stages.kernel !== undefined) x = correlate(x, input("kernel", [stages.kernel, stages.kernel]));
  if (stages.noise !== undefined) x = addNoise(x, stages.noise, input);
  if (stages.color) x = recolor(x, input("color", [3, 6]));
  const mayLeaveRange = stages.kernel !== undefined || stages.noise !== undefined || stages.color;
  return mayLeaveRange ? clamp(x, 0, 255) : x;
}

const clamp = (x: Value, low: number, high: number): Value =>
  g.min(g.max(x, g.filled(x.shape, low)), g.filled(x.shape, high));

/** The image moved by -1 and by 1 along an axis; what leaves it at one end is the edge again. */
function neighbours(x: Value, axis: number): readonly [Value, Value] {
  const size = x.shape[axis]!;
  const part = (start: number, end: number): Value => g.slice(x, axis, start, end);
  if (size === 1) return [x, x];
  return [g.concat([part(0, 1), part(0, size - 1)], axis), g.concat([part(1, size), part(size - 1, size)], axis)];
}

/** Median of 3x3 pixels by sorting columns of three, then combining three columns (a network of 18 minima and maxima). */
function medianOf9(x: Value): Value {
  const sort = (a: Value, b: Value): [Value, Value] => [g.min(a, b), g.max(a, b)];
  const middle = (a: Value, b: Value, c: Value): Value => {
    const [low, high] = sort(a, b);
    return g.max(low, g.min(high, c));
  };
  const [above, below] = neighbours(x, 2);
  const [p, q] = sort(above, x);
  const [r, largest] = sort(q, below);
  const [smallest, median] = sort(p, r);
  const three = (value: Value): readonly [Value, Value, Value] => {
    const [left, right] = neighbours(value, 3);
    return [left, value, right];
  };
  const [a, b, c] = three(smallest);
  const [d, e, f] = three(largest);
  return middle(g.max(g.max(a, b), c), middle(...three(median)), g.min(g.min(d, e), f));
}

/**
 * Correlation with a kernel [N, k, k] of each image's own, edges repeated, as one batched product: rows that lie side by
 * side for every row of the kernel, times banded matrices. (A grouped convolution would need the batch size.)
 */
function correlate(x: Value, kernel: Value): Value {
  const [n, c, h, w] = x.shape as Image;
  const size = kernel.shape[1]!;
  const radius = (size - 1) / 2;
  const edge = (row: number): Value[] => Array.from({ length: radius }, () => g.slice(x, 2, row, row + 1));
  const padded = g.concat([...edge(0), x, ...edge(h - 1)], 2);
  const rows = Array.from({ length: size }, (_, i) => g.slice(padded, 2, i, i + h));
  const band = new Float32Array(size * w * w);
  for (let tap = 0; tap < size; tap++) {
    for (let to = 0; to < w; to++) {
      const from = Math.min(Math.max(to + tap - radius, 0), w - 1);
      band[(tap * w + from) * w + to]! += 1;
    }
  }
  const bands = g.matmul(kernel, everywhere(n, [size, w * w], band));
  const product = g.matmul(g.reshape(g.concat(rows, 3), [n, c * h, size * w]), g.reshape(bands, [n, size * w, w]));
  return g.reshape(product, x.shape);
}

/** One constant matrix for all images. */
function everywhere(n: number, shape: readonly [number, number], values: Float32Array): Value {
  return g.broadcastTo(g.constant(floats(shape, values)), [n, ...shape], [1, 2]);
}

function addNoise(x: Value, kind: NonNullable<AugmentationStages["noise"]>, input: AugmentationInput): Value {
  const [n, c, h, w] = x.shape as Image;
  const normal = g.reshape(input("noise", [c, h, w]), [n, c, h * w]);
  const noise = g.scale(g.reshape(g.matmul(input("noise_mix", [c, c]), normal), x.shape), 255);
  if (kind === "additive") return g.add(x, noise);
  const gains = input("noise_gain", [3 * c]);
  const gain = (i: number): Value => g.slice(gains, 1, i * c, (i + 1) * c);
  const signal = g.scale(x, 1 / 255);
  const root = g.sqrt(g.max(signal, g.filled(x.shape, 0)));
  const strength = g.add(
    g.channelAffine(signal, gain(1), gain(0)),
    g.channelAffine(root, gain(2), g.filled([n, c], 0)),
  );
  return g.add(x, g.mul(noise, strength));
}

/** own x + mean (mean of x) with one 3x6 matrix [own | mean] an image. */
function recolor(x: Value, color: Value): Value {
  const [n, c, h, w] = x.shape as Image;
  const own = g.matmul(g.slice(color, 2, 0, c), g.reshape(x, [n, c, h * w]));
  const mean = g.reshape(g.globalAvgPool(x), [n, c, 1]);
  const level = g.reshape(g.matmul(g.slice(color, 2, c, 2 * c), mean), [n, c]);
  return g.add(g.reshape(own, x.shape), g.broadcastTo(level, x.shape, [0, 1]));
}

/** The one resampling: all geometric changes and the change of size. */
export function warpImages(x: Value, stage: WarpStage, input: AugmentationInput): Value {
  const { sampled, target, functions } = stage;
  const weights = input("warp", [2, functions]);
  const sampledImages = stage.kind === "axes" ? alongAxes(x, stage, weights) : freely(x, stage, weights);
  return sampled.height === target.height && sampled.width === target.width
    ? sampledImages
    : g.resize(sampledImages, target.height, target.width);
}

/** Places [N, 2, ...] of which one row is wanted: 0 for x, 1 for y, as [N, positions]. */
function places(weights: Value, stage: WarpStage, size: { height: number; width: number }, row: 0 | 1): Value {
  const [n, , k] = weights.shape as readonly [number, number, number];
  const positions = size.height * size.width;
  const values = everywhere(n, [k, positions], warpFunctions(stage, size));
  const own = g.reshape(g.matmul(g.slice(weights, 1, row, row + 1), values), [n, positions]);
  return inside(own, row === 0 ? stage.source.width : stage.source.height, stage);
}

/**
 * Brings places into the image: mirrored at the centres of the edge pixels where images move by whole pixels, else at
 * their outer sides. Black begins where no pixel reaches; half a pixel is the edge's where sizes change.
 */
function inside(place: Value, size: number, { border, wholePixels }: WarpStage): Value {
  const last = size - 1;
  if (border === "zeros") {
    if (wholePixels) return place;
    const beyond = g.sub(place, clamp(place, 0, last));
    return g.sub(place, clamp(beyond, -0.5, 0.5));
  }
  const edge = wholePixels ? 0 : 0.5;
  const period = last + 2 * edge;
  const once = g.abs(g.shift(place, edge));
  const twice = g.abs(g.sub(g.filled(place.shape, period), once));
  return clamp(g.sub(g.filled(place.shape, period - edge), twice), 0, last);
}

/** Bilinear weights [N, size, positions] of the pixels of one axis at places [N, positions]: max(0, 1 - distance). */
function tents(place: Value, size: number): Value {
  const [n, positions] = place.shape as readonly [number, number];
  const shape = [n, size, positions];
  const pixels = g.constant(
    floats(
      [size],
      Float32Array.from({ length: size }, (_, i) => i),
    ),
  );
  const distance = g.abs(g.sub(g.broadcastTo(place, shape, [0, 2]), g.broadcastTo(pixels, shape, [1])));
  return g.activation(g.sub(g.filled(shape, 1), distance), "relu");
}

/** Rows, then columns, by one matrix an image for each. */
function alongAxes(x: Value, stage: WarpStage, weights: Value): Value {
  const [n, c, h, w] = x.shape as Image;
  const { height, width } = stage.target;
  const columns = tents(places(weights, stage, { height: 1, width }, 0), w);
  const rows = tents(places(weights, stage, { height, width: 1 }, 1), h);
  const turned = g.reshape(g.transpose(x, [0, 1, 3, 2]), [n, c * w, h]);
  const tall = g.reshape(g.matmul(turned, rows), [n, c, w, height]);
  const back = g.reshape(g.transpose(tall, [0, 1, 3, 2]), [n, c * height, w]);
  return g.reshape(g.matmul(back, columns), [n, c, height, width]);
}

function freely(x: Value, stage: WarpStage, weights: Value): Value {
  const { height, width } = stage.sampled;
  const n = x.shape[0]!;
  const axes = ([0, 1] as const).map((row) => {
    const size = row === 0 ? stage.source.width : stage.source.height;
    const place = places(weights, stage, stage.sampled, row);
    return g.reshape(g.shift(g.scale(place, 2 / size), 1 / size - 1), [n, 1, height * width]);
  });
  const grid = g.transpose(g.concat(axes, 1), [0, 2, 1]);
  return g.gridSample(x, g.reshape(grid, [n, height, width, 2]));
}

/** [N, H, W]: 0 in a hole, else 1. */
export function keptPixels(
  count: number,
  { height, width }: { readonly height: number; readonly width: number },
  input: AugmentationInput,
): Value {
  const [rows, columns] = [input("holes_y", [count, height]), input("holes_x", [count, width])];
  const holes = g.matmul(rows, columns, { transA: true });
  const one = g.filled(holes.shape, 1);
  return count === 1 ? g.sub(one, holes) : g.activation(g.sub(one, holes), "relu");
}

export const maskImages = (x: Value, mask: Value): Value => g.mul(x, g.broadcastTo(mask, x.shape, [0, 2, 3]));

/** Each row is the one after it, the last the first. */
export function nextInBatch(x: Value): Value {
  const n = x.shape[0]!;
  return n === 1 ? x : g.concat([g.slice(x, 0, 1, n), g.slice(x, 0, 0, 1)], 0);
}

/** x + share (next - x), the share at each pixel being a product of one for its row and one for its column. */
export function mixImages(x: Value, input: AugmentationInput): Value {
  const [, , height, width] = x.shape as Image;
  const share = g.matmul(input("mix_y", [1, height]), input("mix_x", [1, width]), { transA: true });
  return g.add(x, maskImages(g.sub(nextInBatch(x), x), share));
}
