import * as g from "../graph/build.ts";
import { activationSaves, type OpAttrs, type OpName } from "../graph/ops.ts";
import { isOp, type Value } from "../graph/value.ts";
import { sizeOf } from "../tensor/shape.ts";

/**
 * Vector-Jacobian product of one operation: the cotangent of each operand from the cotangent of the result;
 * null where the result does not depend on the operand, or only in steps.
 */
type VjpRule<O extends OpName> = (value: Value<O>, cotangent: Value) => readonly (Value | null)[];

/** Flat almost everywhere: the gradient is zero. */
const zero: VjpRule<OpName> = (value) => value.operands.map(() => null);

function zerosLike(x: Value): Value {
  return g.filled(x.shape, 0);
}

/** x * weights, weights [N, C] over the positions of x; one weight a channel where all samples share it. */
function weighChannels(x: Value, weights: Value): Value {
  const shared = isOp(weights, "broadcast") && weights.attrs.axes.length === 1 && weights.attrs.axes[0] === 1;
  const scale = shared ? weights.operands[0]! : weights;
  return g.channelAffine(x, scale, zerosLike(scale));
}

/** Sums [N, C] to the shape of a channel parameter, [C] or [N, C]. */
function toChannels(perSample: Value, like: Value): Value {
  return like.shape.length === 1 ? g.reduceSum(perSample, [0]) : perSample;
}

/** Adds back the axes that a reduction removed. */
function expand(reduced: Value, x: Value, axes: readonly number[]): Value {
  const kept = x.shape.map((_, i) => i).filter((i) => !axes.includes(i));
  return g.broadcastTo(reduced, x.shape, kept);
}

function inverse(perm: readonly number[]): number[] {
  const result = new Array<number>(perm.length);
  perm.forEach((from, to) => {
    result[from] = to;
  });
  return result;
}

const binaryRules: {
  readonly [K in OpAttrs["binary"]["kind"]]: (a: Value, b: Value, dy: Value, y: Value) => readonly Value[];
} = {
  add: (_a, _b, dy) => [dy, dy],
  sub: (_a, _b, dy) => [dy, g.neg(dy)],
  mul: (a, b, dy) => [g.mul(dy, b), g.mul(dy, a)],
  div: (_a, b, dy, y) => {
    const da = g.div(dy, b);
    return [da, g.neg(g.mul(da, y))];
  },
  max: (a, b, dy) => selected(g.greater(a, b), g.greater(b, a), dy),
  min: (a, b, dy) => selected(g.greater(b, a), g.greater(a, b), dy),
};

/** Cotangents of a choice between two operands; equal operands take half each, as in PyTorch. */
function selected(first: Value, second: Value, dy: Value): readonly Value[] {
  const half = g.shift(g.scale(g.sub(first, second), 0.5), 0.5);
  return [g.mul(dy, half), g.sub(dy, g.mul(dy, half))];
}

const unaryRules: {
  readonly [K in OpAttrs["unary"]["kind"]]: (x: Value, y: Value, dy: Value) => Value;
} = {
  neg: (_x, _y, dy) => g.neg(dy),
  exp: (_x, y, dy) => g.mul(dy, y),
  log: (x, _y, dy) => g.div(dy, x),
  sqrt: (_x, y, dy) => g.div(g.scale(dy, 0.5), y),
  reciprocal: (_x, y, dy) => g.neg(g.mul(dy, g.mul(y, y))),
  abs: (x, _y, dy) => g.mul(dy, g.sub(g.greater(x, zerosLike(x)), g.greater(zerosLike(x), x))),
};

/** The total table of rules: an operation without an entry does not compile. */
export const vjpRules: { readonly [O in OpName]: VjpRule<O> | "nondifferentiable" } = {
  input: zero,
  constant: zero,
  unary: (y, dy) => [unaryRules[y.attrs.kind](y.operands[0]!, y, dy)],
  binary: (y, dy) => binaryRules[y.attrs.kind](y.operands[0]!, y.operands[1]!, dy, y),
  compare: zero,
  activation: (y, dy) => {
    const saved = activationSaves[y.attrs.kind].map((which) => (which === "x" ? y.operands[0]! : y));
    return [g.apply("activationGrad", [...saved, dy], y.attrs)];
  },
  activationGrad: "nondifferentiable",
  cast: (y, dy) => [y.operands[0]!.dtype.startsWith("float") ? g.cast(dy, y.operands[0]!.dtype) : null],
  stopGradient: zero,
  // Each process has its share of the loss, and all shares depend on the sum.
  allReduce: (y, dy) => [g.allReduce(dy, y.attrs.arrival)],
  reshape: (y, dy) => [g.reshape(dy, y.operands[0]!.shape)],
  transpose: (y, dy) => [g.transpose(dy, inverse(y.attrs.perm))],
  broadcast: (y, dy) => {
    const added = y.shape.map((_, i) => i).filter((i) => !y.attrs.axes.includes(i));
    return [g.reduceSum(dy, added)];
  },
  concat: (y, dy) => {
    let start = 0;
    return y.operands.map((part) => {
      const size = part.shape[y.attrs.axis]!;
      start += size;
      return g.slice(dy, y.attrs.axis, start - size, start);
    });
  },
  slice: (y, dy) => {
    const { axis, start, end } = y.attrs;
    return [g.pad(dy, axis, start, y.operands[0]!.shape[axis]! - end)];
  },
  pad: (y, dy) => {
    const { axis, before } = y.attrs;
    return [g.slice(dy, axis, before, before + y.operands[0]!.shape[axis]!)];
  },
  flip: (y, dy) => [g.flip(dy, y.attrs.axes)],
  reduceSum: (y, dy) => [expand(dy, y.operands[0]!, y.attrs.axes)],
  reduceMax: (y, dy) => {
    const x = y.operands[0]!;
    const isMax = g.equal(x, expand(y, x, y.attrs.axes));
    const share = g.div(dy, g.reduceSum(isMax, y.attrs.axes));
    return [g.mul(isMax, expand(share, x, y.attrs.axes))];
  },
  argMax: zero,
  matmul: (y, dy) => {
    const [a, b] = [y.operands[0]!, y.operands[1]!];
    const { transA, transB, precision } = y.attrs;
    const product = (left: Value, right: Value, turned: { transA?: boolean; transB?: boolean }): Value =>
      g.matmul(left, right, { ...turned, precision });
    const da = transA ? product(b, dy, { transA: transB, transB: true }) : product(dy, b, { transB: !transB });
    const db = transB ? product(dy, a, { transA: true, transB: transA }) : product(a, dy, { transA: !transA });
    return [da, db];
  },
  logSoftmax: (y, dy) => {
    const total = g.broadcastTo(g.reduceSum(dy, [1]), y.shape, [0]);
    return [g.sub(dy, g.mul(g.exp(y), total))];
  },
  oneHot: zero,
  conv2d: (y, dy) => {
    const [x, w] = [y.operands[0]!, y.operands[1]!];
    return [
      g.apply("conv2dInputGrad", [dy, w], { ...y.attrs, inputShape: x.shape }),
      g.apply("conv2dWeightGrad", [x, dy], { ...y.attrs, weightShape: w.shape }),
    ];
  },
  conv2dInputGrad: ({ operands, attrs: { inputShape: _, ...conv } }, dx) => [
    g.apply("conv2d", [dx, operands[1]!], conv),
    g.apply("conv2dWeightGrad", [dx, operands[0]!], { ...conv, weightShape: operands[1]!.shape }),
  ],
  conv2dWeightGrad: ({ operands, attrs: { weightShape: _, ...conv } }, dw) => {
    const [x, dy] = [operands[0]!, operands[1]!];
    // A matrix of inner products between the channels of x: one convolution does for both sides.
    if (x === dy && conv.groups === 1 && sizeOf(dw.shape.slice(2)) === 1) {
      return [null, g.apply("conv2d", [x, g.add(dw, g.transpose(dw, [1, 0, 2, 3]))], conv)];
    }
    return [g.apply("conv2dInputGrad", [dy, dw], { ...conv, inputShape: x.shape }), g.apply("conv2d", [x, dw], conv)];
  },
  channelAffine: (y, dy) => {
    const [x, scale, bias] = [y.operands[0]!, y.operands[1]!, y.operands[2]!];
    return [
      g.filledNumber(scale) === 1 ? dy : g.channelAffine(dy, scale, zerosLike(scale)),
      toChannels(g.spatialDot(dy, x), scale),
      toChannels(g.reduceSum(dy, [2, 3]), bias),
    ];
  },
  spatialDot: (y, dy) => [weighChannels(y.operands[1]!, dy), weighChannels(y.operands[0]!, dy)],
  maxPool2d: (y, dy) => [g.apply("maxPool2dGrad", [y.operands[0]!, y, dy], y.attrs)],
  maxPool2dGrad: "nondifferentiable",
  avgPool2d: (y, dy) => [g.apply("avgPool2dGrad", [dy], { ...y.attrs, inputShape: y.operands[0]!.shape })],
  avgPool2dGrad: ({ attrs: { inputShape: _, ...pool } }, dx) => [g.apply("avgPool2d", [dx], pool)],
  affineSample: "nondifferentiable",
  gridSample: "nondifferentiable",
  lookup: "nondifferentiable",
  resize: (y, dy) => [g.apply("resizeGrad", [dy], { inputShape: y.operands[0]!.shape })],
  resizeGrad: (y, dx) => [g.resize(dx, y.operands[0]!.shape[2]!, y.operands[0]!.shape[3]!)],
};
