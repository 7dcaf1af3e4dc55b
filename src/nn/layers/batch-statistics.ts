import {
  activation,
  allReduce,
  apply,
  broadcastTo,
  channelAffine,
  conv2d,
  filled,
  matmul,
  mul,
  reduceSum,
  reshape,
  scale,
  spatialDot,
  sub,
} from "../../graph/build.ts";
import { isOp, type Value } from "../../graph/value.ts";

/** Per-channel statistics of a batch of images over N, H and W, and the way to scale and shift these images. */
export interface BatchStatistics {
  /** [C] */
  readonly mean: Value;
  /** [C], biased: divided by N * H * W. */
  readonly variance: Value;
  /** The images times a factor [C] plus a term [C]. */
  affine(factor: Value, term: Value): Value;
}

/**
 * E[x^2] - E[x]^2: one pass over x, in the form that backends fuse. Cancellation is harmless while |mean| is not
 * hundreds of standard deviations, which holds for inputs of convolutions; what rounding leaves below zero is cut to
 * zero.
 *
 * Behind a 1x1 convolution that at least doubles the channels, and not too many of them, the statistics are those of its narrow input v, carried
 * through the weights: mean = W E[v] and variance = diag(W Cov[v] W^T). The scale then belongs to the weights and the
 * shift is a bias, so that the wide images are written once, already normalised, and never read for statistics; the
 * same holds for their gradients, by differentiation.
 *
 * With several processes the statistics are those of all their batches, which have equal sizes.
 */
export function batchStatistics(x: Value, processes = 1): BatchStatistics {
  const overAll: OverAll = (mean) => (processes === 1 ? mean : scale(allReduce(mean, "now"), 1 / processes));
  return isWidening(x) ? throughWeights(x.operands[0]!, x.operands[1]!, overAll) : direct(x, overAll);
}

/** From the mean of one process's batch to the mean of all. */
type OverAll = (mean: Value) => Value;

const positionsOf = (x: Value): number => x.shape[0]! * x.shape[2]! * x.shape[3]!;
const meanOf = (x: Value): Value => scale(reduceSum(reduceSum(x, [2, 3]), [0]), 1 / positionsOf(x));
const notNegative = (variance: Value): Value => activation(variance, "relu");

function direct(x: Value, overAll: OverAll): BatchStatistics {
  const mean = overAll(meanOf(x));
  const meanOfSquares = overAll(scale(reduceSum(spatialDot(x, x), [0]), 1 / positionsOf(x)));
  return {
    mean,
    variance: notNegative(sub(meanOfSquares, mul(mean, mean))),
    affine: (factor, term) => channelAffine(x, factor, term),
  };
}

function isWidening(x: Value): x is Value<"conv2d"> {
  if (!isOp(x, "conv2d")) return false;
  const [outputs, inputs, height, width] = x.operands[1]!.shape as [number, number, number, number];
  const { strides, pads, groups } = x.attrs;
  const pointwise =
    height === 1 && width === 1 && [...strides, groups].every((n) => n === 1) && pads.every((p) => p === 0);
  // Matrix products of inputs^2 * (4 * positions + 6 * outputs) operations instead of about eight passes over the wide
  // images; a processor does some three hundred of these operations in the time that an element takes in such passes.
  const pays = inputs ** 2 * (4 * positionsOf(x) + 6 * outputs) < 300 * outputs * positionsOf(x);
  return pointwise && outputs >= 2 * inputs && pays;
}

/** A sum of squares over all positions is soon beyond the largest float16, 65,504. */
const whole = { precision: "float32" } as const;

function throughWeights(v: Value, w: Value, overAll: OverAll): BatchStatistics {
  const [outputs, inputs] = w.shape as [number, number];
  const weights = reshape(w, [outputs, inputs]);
  const meanIn = overAll(meanOf(v));
  const { attrs } = conv2d(v, w) as Value<"conv2d">;
  const products = apply("conv2dWeightGrad", [v, v], {
    ...attrs,
    ...whole,
    weightShape: [inputs, inputs, 1, 1],
  });
  const column = reshape(meanIn, [inputs, 1]);
  const covariance = sub(
    overAll(scale(reshape(products, [inputs, inputs]), 1 / positionsOf(v))),
    matmul(column, column, { ...whole, transB: true }),
  );
  return {
    mean: reshape(matmul(weights, column, whole), [outputs]),
    variance: notNegative(reduceSum(mul(matmul(weights, covariance, whole), weights), [1])),
    affine(factor, term) {
      const scaled = mul(weights, broadcastTo(factor, [outputs, inputs], [0]));
      return channelAffine(conv2d(v, reshape(scaled, w.shape)), filled([outputs], 1), term);
    },
  };
}
