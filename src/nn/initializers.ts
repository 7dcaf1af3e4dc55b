import { PipelineError } from "../base/errors.ts";
import type { Rng } from "../base/rng.ts";
import { type Shape, sizeOf } from "../tensor/shape.ts";

/** First values of a parameter, from its shape and a stream of random numbers of its own. */
export type Initializer = (shape: Shape, rng: Rng) => Float32Array;

/** Inputs and outputs that one element of a weight [out, in, ...window] connects. */
export function fans(shape: Shape): { fanIn: number; fanOut: number } {
  const [out, into, ...window] = shape;
  if (out === undefined || into === undefined) {
    throw new PipelineError("SHAPE_MISMATCH", `fans: a weight needs at least two dimensions, got [${shape}]`);
  }
  const area = sizeOf(window);
  return { fanIn: into * area, fanOut: out * area };
}

export const constantInit =
  (value: number): Initializer =>
  (shape) =>
    new Float32Array(sizeOf(shape)).fill(value);

export const zerosInit = constantInit(0);
export const onesInit = constantInit(1);

/** Uniform in [-bound, bound). */
export const uniformInit =
  (bound: number): Initializer =>
  (shape, rng) =>
    new Float32Array(sizeOf(shape)).map(() => (2 * rng.uniform() - 1) * bound);

/** Normal with mean 0. */
export const normalInit =
  (std: number): Initializer =>
  (shape, rng) =>
    new Float32Array(sizeOf(shape)).map(() => rng.normal() * std);

/** PyTorch's default for convolution and linear weights: kaiming-uniform with a = sqrt(5), so uniform(1/sqrt(fanIn)). */
export const pytorchWeightInit: Initializer = (shape, rng) => uniformInit(1 / Math.sqrt(fans(shape).fanIn))(shape, rng);

/** PyTorch's default for the bias of a layer whose weight has this fan-in. */
export const pytorchBiasInit = (fanIn: number): Initializer => uniformInit(1 / Math.sqrt(fanIn));

/** He et al. 2015 for rectified activations: normal with variance 2 / fan. */
export const heNormalInit =
  (mode: "fanIn" | "fanOut" = "fanOut"): Initializer =>
  (shape, rng) =>
    normalInit(Math.sqrt(2 / fans(shape)[mode]))(shape, rng);

/**
 * The first `in` filters of a convolution pass their channel through (identity), as torch.nn.init.dirac_ on
 * weight[:in]; the others come from `rest`.
 */
export const partialDiracInit =
  (rest: Initializer): Initializer =>
  (shape, rng) => {
    const values = rest(shape, rng);
    const [out = 0, into = 0, kh = 0, kw = 0] = shape;
    if (shape.length !== 4) throw new PipelineError("SHAPE_MISMATCH", `dirac: needs a filter, got shape [${shape}]`);
    const window = kh * kw;
    const count = Math.min(out, into);
    values.fill(0, 0, count * into * window);
    for (let i = 0; i < count; i++) {
      values[(i * into + i) * window + Math.floor(kh / 2) * kw + Math.floor(kw / 2)] = 1;
    }
    return values;
  };

/** The values of `init` divided by their standard deviation (unbiased, as torch.std). */
export const unitStdInit =
  (init: Initializer): Initializer =>
  (shape, rng) => {
    const values = init(shape, rng);
    let mean = 0;
    for (const value of values) mean += value / values.length;
    let sum = 0;
    for (const value of values) sum += (value - mean) ** 2;
    const std = Math.sqrt(sum / (values.length - 1));
    return values.map((value) => value / std);
  };
