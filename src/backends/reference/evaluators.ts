import type { OpName } from "../../graph/ops.ts";
import { fromTensor } from "./array.ts";
import { channelAffine, spatialDot } from "./channels.ts";
import { conv2d, conv2dInputGrad, conv2dWeightGrad } from "./convolution.ts";
import { activation, activationGrad, binary, cast, compare, copy, unary } from "./elementwise.ts";
import type { Evaluator } from "./evaluator.ts";
import { broadcast, concat, flip, pad, slice, transpose } from "./layout.ts";
import { matmul, oneHot } from "./linear.ts";
import { avgPool2d, avgPool2dGrad, maxPool2d, maxPool2dGrad } from "./pooling.ts";
import { argMax, logSoftmax, reduceMax, reduceSum } from "./reductions.ts";
import { affineSample, gridSample, lookup, resize, resizeGrad } from "./sampling.ts";

/** The total table of evaluators: an operation without an entry does not compile. Inputs are bound before. */
export const evaluators: { readonly [O in Exclude<OpName, "input">]: Evaluator<O> } = {
  constant: ({ attrs }) => fromTensor(attrs.tensor).data,
  unary,
  binary,
  compare,
  activation,
  activationGrad,
  cast,
  stopGradient: copy,
  allReduce: copy,
  reshape: copy,
  transpose,
  broadcast,
  concat,
  slice,
  pad,
  flip,
  reduceSum,
  reduceMax,
  argMax,
  matmul,
  logSoftmax,
  oneHot,
  conv2d,
  conv2dInputGrad,
  conv2dWeightGrad,
  channelAffine,
  spatialDot,
  maxPool2d,
  maxPool2dGrad,
  avgPool2d,
  avgPool2dGrad,
  affineSample,
  gridSample,
  lookup,
  resize,
  resizeGrad,
};
