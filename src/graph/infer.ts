import { PipelineError } from "../base/errors.ts";
import type { DType } from "../tensor/dtype.ts";
import { type Shape, sameShape, sizeOf } from "../tensor/shape.ts";
import { activationSaves, type ConvAttrs, type OpAttrs, type OpName, type PoolAttrs } from "./ops.ts";
import type { Value } from "./value.ts";

interface TensorType {
  readonly dtype: DType;
  readonly shape: Shape;
}

type InferRule<O extends OpName> = (operands: readonly Value[], attrs: OpAttrs[O]) => TensorType;

/**
 * Type of the result of `op`.
 * @throws SHAPE_MISMATCH naming the operation and the operands' shapes.
 */
export function inferType<O extends OpName>(op: O, operands: readonly Value[], attrs: OpAttrs[O]): TensorType {
  return (inferRules[op] as InferRule<O>)(operands, attrs);
}

function fail(op: OpName, operands: readonly Value[], why: string): never {
  const types = operands.map((value) => `${value.dtype}[${value.shape}]`).join(", ");
  throw new PipelineError("SHAPE_MISMATCH", `${op}(${types}): ${why}`);
}

function count(op: OpName, operands: readonly Value[], expected: number): void {
  if (operands.length !== expected) fail(op, operands, `needs ${expected} operands`);
}

function sameOperands(op: OpName, expected: number): (operands: readonly Value[]) => TensorType {
  return (operands) => {
    count(op, operands, expected);
    const [first, ...rest] = operands;
    if (first === undefined) return fail(op, operands, "needs operands");
    for (const other of rest) {
      if (other.dtype !== first.dtype || !sameShape(other.shape, first.shape)) {
        fail(op, operands, "operands differ in type; broadcast explicitly");
      }
    }
    return { dtype: first.dtype, shape: first.shape };
  };
}

function image(op: OpName, operands: readonly Value[], index: number): readonly [number, number, number, number] {
  const shape = operands[index]?.shape;
  if (shape?.length !== 4) return fail(op, operands, `operand ${index} must be [N, C, H, W]`);
  return shape as unknown as readonly [number, number, number, number];
}

/** Output size of a sliding window along both axes. */
export function windowSize(
  [height, width]: readonly [number, number],
  kernel: readonly [number, number],
  { strides, pads, dilations = [1, 1] }: Pick<ConvAttrs, "strides" | "pads"> & Partial<Pick<ConvAttrs, "dilations">>,
): [number, number] {
  return [
    Math.floor((height + pads[0] + pads[2] - dilations[0] * (kernel[0] - 1) - 1) / strides[0]) + 1,
    Math.floor((width + pads[1] + pads[3] - dilations[1] * (kernel[1] - 1) - 1) / strides[1]) + 1,
  ];
}

/** Checks that a convolution of x by w gives y. */
function conv(op: OpName, operands: readonly Value[], x: Shape, w: Shape, attrs: ConvAttrs): Shape {
  const [n = 0, c = 0, h = 0, width = 0] = x;
  const [o = 0, i = 0, kh = 0, kw = 0] = w;
  if (x.length !== 4 || w.length !== 4) return fail(op, operands, "needs 4-D input and weight");
  if (attrs.groups < 1 || i * attrs.groups !== c || o % attrs.groups !== 0) {
    fail(op, operands, `weight [${w}] does not fit ${c} input channels in ${attrs.groups} groups`);
  }
  const [oh, ow] = windowSize([h, width], [kh, kw], attrs);
  if (oh < 1 || ow < 1) fail(op, operands, `kernel ${kh}x${kw} is larger than the padded input ${h}x${width}`);
  return [n, o, oh, ow];
}

function pooled(op: OpName, operands: readonly Value[], attrs: PoolAttrs): Shape {
  const [n, c, h, w] = image(op, operands, 0);
  const [oh, ow] = windowSize([h, w], attrs.kernel, attrs);
  if (oh < 1 || ow < 1) fail(op, operands, `window ${attrs.kernel} is larger than the padded input`);
  return [n, c, oh, ow];
}

function reduced(op: OpName, operands: readonly Value[], axes: readonly number[]): TensorType {
  count(op, operands, 1);
  const { dtype, shape } = operands[0]!;
  for (const axis of axes) axisIn(op, operands, axis);
  return { dtype, shape: shape.filter((_, i) => !axes.includes(i)) };
}

function axisIn(op: OpName, operands: readonly Value[], axis: number): number {
  const rank = operands[0]?.shape.length ?? 0;
  if (!Number.isInteger(axis) || axis < 0 || axis >= rank) fail(op, operands, `axis ${axis} is out of range`);
  return axis;
}

function resized(op: OpName, operands: readonly Value[], axis: number, size: number): TensorType {
  axisIn(op, operands, axis);
  if (size < 0) fail(op, operands, `negative size along axis ${axis}`);
  const { dtype, shape } = operands[0]!;
  return { dtype, shape: shape.map((dim, i) => (i === axis ? size : dim)) };
}

function expectShape(op: OpName, operands: readonly Value[], index: number, shape: Shape): void {
  const actual = operands[index]?.shape;
  if (actual === undefined || !sameShape(actual, shape)) fail(op, operands, `operand ${index} must be [${shape}]`);
}

const inferRules: { readonly [O in OpName]: InferRule<O> } = {
  input: (_, { dtype, shape }) => ({ dtype, shape }),
  constant: (_, { tensor }) => ({ dtype: tensor.dtype, shape: tensor.shape }),
  unary: sameOperands("unary", 1),
  binary: sameOperands("binary", 2),
  compare: (operands) => {
    return { dtype: "float32", shape: sameOperands("compare", 2)(operands).shape };
  },
  activation: sameOperands("activation", 1),
  activationGrad: (operands, { kind }) => sameOperands("activationGrad", activationSaves[kind].length + 1)(operands),
  cast: (operands, { dtype }) => ({ dtype, shape: sameOperands("cast", 1)(operands).shape }),
  stopGradient: sameOperands("stopGradient", 1),
  allReduce: sameOperands("allReduce", 1),
  reshape: (operands, { shape }) => {
    count("reshape", operands, 1);
    if (sizeOf(shape) !== sizeOf(operands[0]!.shape)) fail("reshape", operands, `cannot become [${shape}]`);
    return { dtype: operands[0]!.dtype, shape };
  },
  transpose: (operands, { perm }) => {
    count("transpose", operands, 1);
    const { dtype, shape } = operands[0]!;
    if (
      perm.length !== shape.length ||
      new Set(perm).size !== perm.length ||
      perm.some((p) => shape[p] === undefined)
    ) {
      fail("transpose", operands, `[${perm}] is no permutation of the axes`);
    }
    return { dtype, shape: perm.map((p) => shape[p]!) };
  },
  broadcast: (operands, { shape, axes }) => {
    count("broadcast", operands, 1);
    const from = operands[0]!;
    const rising = axes.every((axis, i) => i === 0 || axis > axes[i - 1]!);
    if (axes.length !== from.shape.length || !rising || axes.some((axis, i) => shape[axis] !== from.shape[i])) {
      fail("broadcast", operands, `cannot become [${shape}] along axes [${axes}]`);
    }
    return { dtype: from.dtype, shape };
  },
  concat: (operands, { axis }) => {
    axisIn("concat", operands, axis);
    const first = operands[0]!;
    let size = 0;
    for (const part of operands) {
      const fits = part.shape.length === first.shape.length && part.dtype === first.dtype;
      if (!fits || part.shape.some((dim, i) => i !== axis && dim !== first.shape[i])) {
        fail("concat", operands, `parts differ outside axis ${axis}`);
      }
      size += part.shape[axis]!;
    }
    return resized("concat", operands, axis, size);
  },
  slice: (operands, { axis, start, end }) => {
    count("slice", operands, 1);
    const dim = operands[0]!.shape[axisIn("slice", operands, axis)]!;
    if (start < 0 || end > dim || start >= end) fail("slice", operands, `${start}..${end} is outside axis ${axis}`);
    return resized("slice", operands, axis, end - start);
  },
  pad: (operands, { axis, before, after }) => {
    count("pad", operands, 1);
    if (before < 0 || after < 0) fail("pad", operands, "negative padding");
    return resized("pad", operands, axis, operands[0]!.shape[axisIn("pad", operands, axis)]! + before + after);
  },
  flip: (operands, { axes }) => {
    count("flip", operands, 1);
    for (const axis of axes) axisIn("flip", operands, axis);
    return { dtype: operands[0]!.dtype, shape: operands[0]!.shape };
  },
  reduceSum: (operands, { axes }) => reduced("reduceSum", operands, axes),
  reduceMax: (operands, { axes }) => reduced("reduceMax", operands, axes),
  argMax: (operands) => {
    count("argMax", operands, 1);
    const { shape } = operands[0]!;
    if (shape.length === 0) fail("argMax", operands, "needs an axis");
    return { dtype: "int32", shape: shape.slice(0, -1) };
  },
  matmul: (operands, { transA, transB }) => {
    count("matmul", operands, 2);
    const [a, b] = [operands[0]!.shape, operands[1]!.shape];
    const rank = a.length;
    if ((rank !== 2 && rank !== 3) || b.length !== rank || (rank === 3 && a[0] !== b[0])) {
      return fail("matmul", operands, "needs two matrices or two batches of as many matrices");
    }
    const [m, inner] = transA ? [a[rank - 1]!, a[rank - 2]!] : [a[rank - 2]!, a[rank - 1]!];
    const [innerB, n] = transB ? [b[rank - 1]!, b[rank - 2]!] : [b[rank - 2]!, b[rank - 1]!];
    if (inner !== innerB) fail("matmul", operands, `inner dimensions differ: ${inner} and ${innerB}`);
    return { dtype: operands[0]!.dtype, shape: [...a.slice(0, rank - 2), m, n] };
  },
  logSoftmax: (operands) => {
    if (operands[0]?.shape.length !== 2) fail("logSoftmax", operands, "needs [N, classes]");
    return sameOperands("logSoftmax", 1)(operands);
  },
  oneHot: (operands, { depth }) => {
    count("oneHot", operands, 1);
    if (operands[0]!.dtype !== "int32") fail("oneHot", operands, "needs int32 labels");
    return { dtype: "float32", shape: [...operands[0]!.shape, depth] };
  },
  conv2d: (operands, attrs) => {
    count("conv2d", operands, 2);
    return {
      dtype: operands[0]!.dtype,
      shape: conv("conv2d", operands, operands[0]!.shape, operands[1]!.shape, attrs),
    };
  },
  conv2dInputGrad: (operands, attrs) => {
    count("conv2dInputGrad", operands, 2);
    const y = conv("conv2dInputGrad", operands, attrs.inputShape, operands[1]!.shape, attrs);
    expectShape("conv2dInputGrad", operands, 0, y);
    return { dtype: operands[0]!.dtype, shape: attrs.inputShape };
  },
  conv2dWeightGrad: (operands, attrs) => {
    count("conv2dWeightGrad", operands, 2);
    const y = conv("conv2dWeightGrad", operands, operands[0]!.shape, attrs.weightShape, attrs);
    expectShape("conv2dWeightGrad", operands, 1, y);
    return { dtype: operands[0]!.dtype, shape: attrs.weightShape };
  },
  channelAffine: (operands) => {
    count("channelAffine", operands, 3);
    const [n, c] = image("channelAffine", operands, 0);
    const [, scale, bias] = operands;
    const fits = sameShape(scale!.shape, [c]) || sameShape(scale!.shape, [n, c]);
    if (!fits || !sameShape(scale!.shape, bias!.shape)) {
      fail("channelAffine", operands, `scale and bias must both be [${c}] or [${n}, ${c}]`);
    }
    return { dtype: operands[0]!.dtype, shape: operands[0]!.shape };
  },
  spatialDot: (operands) => {
    const [n, c] = image("spatialDot", operands, 0);
    sameOperands("spatialDot", 2)(operands);
    return { dtype: operands[0]!.dtype, shape: [n, c] };
  },
  maxPool2d: (operands, attrs) => {
    count("maxPool2d", operands, 1);
    return { dtype: operands[0]!.dtype, shape: pooled("maxPool2d", operands, attrs) };
  },
  maxPool2dGrad: (operands, attrs) => {
    count("maxPool2dGrad", operands, 3);
    const y = pooled("maxPool2dGrad", operands, attrs);
    expectShape("maxPool2dGrad", operands, 1, y);
    expectShape("maxPool2dGrad", operands, 2, y);
    return { dtype: operands[0]!.dtype, shape: operands[0]!.shape };
  },
  avgPool2d: (operands, attrs) => {
    count("avgPool2d", operands, 1);
    return { dtype: operands[0]!.dtype, shape: pooled("avgPool2d", operands, attrs) };
  },
  avgPool2dGrad: (operands, attrs) => {
    count("avgPool2dGrad", operands, 1);
    const [n = 0, c = 0, h = 0, w = 0] = attrs.inputShape;
    expectShape("avgPool2dGrad", operands, 0, [n, c, ...windowSize([h, w], attrs.kernel, attrs)]);
    return { dtype: operands[0]!.dtype, shape: attrs.inputShape };
  },
  affineSample: (operands, { height, width }) => {
    count("affineSample", operands, 2);
    const [n, c] = image("affineSample", operands, 0);
    expectShape("affineSample", operands, 1, [n, 2, 3]);
    return { dtype: operands[0]!.dtype, shape: [n, c, height, width] };
  },
  gridSample: (operands) => {
    count("gridSample", operands, 2);
    const [n, c] = image("gridSample", operands, 0);
    const [, height, width] = image("gridSample", operands, 1);
    expectShape("gridSample", operands, 1, [n, height, width, 2]);
    return { dtype: operands[0]!.dtype, shape: [n, c, height, width] };
  },
  lookup: (operands) => {
    count("lookup", operands, 2);
    const [n, c] = image("lookup", operands, 0);
    if (operands[0]!.dtype !== "uint8") fail("lookup", operands, "needs an image of bytes");
    expectShape("lookup", operands, 1, [n, c, 256]);
    return { dtype: "float32", shape: operands[0]!.shape };
  },
  resize: (operands, { height, width }) => {
    count("resize", operands, 1);
    const [n, c] = image("resize", operands, 0);
    return { dtype: operands[0]!.dtype, shape: [n, c, height, width] };
  },
  resizeGrad: (operands, { inputShape }) => {
    count("resizeGrad", operands, 1);
    const [n, c] = image("resizeGrad", operands, 0);
    if (inputShape.length !== 4 || inputShape[0] !== n || inputShape[1] !== c) {
      fail("resizeGrad", operands, `does not come from [${inputShape}]`);
    }
    return { dtype: operands[0]!.dtype, shape: inputShape };
  },
};
