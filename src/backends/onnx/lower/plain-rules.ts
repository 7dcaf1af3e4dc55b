import type { OpName } from "../../../graph/ops.ts";
import { isOp, type Value } from "../../../graph/value.ts";
import { type Shape, sizeOf } from "../../../tensor/shape.ts";
import { floatData } from "../../../tensor/tensor.ts";
import type { Lowering, LowerRule, Physical } from "../lowering.ts";
import { elementType } from "../model-writer.ts";
import { activationFormula, activationGradFormula, arithmetic, unaryOps } from "./elementwise.ts";
import { interpolationMatrix } from "./interpolation.ts";

/** Lowerings to ordinary ONNX operators: total, the fall-back of every other table. */

const plain = (name: string): Physical => ({ name, layout: "plain" });

/** Names of the operands; scalars and masks that all channels share are left to ONNX's own broadcasting. */
function elementwise(value: Value, lowering: Lowering): string[] {
  const full = value.operands.some((operand) => !isOp(operand, "broadcast"));
  const names = value.operands.map((operand) => {
    const scalar = lowering.scalarOf(operand);
    if (scalar === undefined && !full) return lowering.plain(operand);
    return scalar === undefined ? (sharedMask(operand, lowering) ?? lowering.plain(operand)) : lowering.plain(scalar);
  });
  // All operands scalar: one must have the full shape.
  if (value.shape.length > 0 && value.operands.every((operand) => lowering.scalarOf(operand) !== undefined)) {
    names[0] = lowering.plain(value.operands[0]!);
  }
  return names;
}

/** One plane for all channels, [N, 1, H, W]. */
function sharedMask(operand: Value, lowering: Lowering): string | undefined {
  if (!isOp(operand, "broadcast") || operand.attrs.axes.join() !== "0,2,3") return undefined;
  const [n, , h, w] = operand.shape as [number, number, number, number];
  return lowering.writer.reshape(lowering.plain(operand.operands[0]!), freeShape([n, 1, h, w], operand, lowering));
}

const isScalar = (operand: Value, result: Value, lowering: Lowering): boolean =>
  result.shape.length > 0 && lowering.scalarOf(operand) !== undefined;

/** A shape for Reshape, its first dimension kept as it is at run time where it is the free batch of `value`. */
function freeShape(shape: Shape, value: Value, lowering: Lowering): number[] {
  return shape.map((dim, i) => (i === 0 && lowering.isBatched(value) ? 0 : dim));
}

/** [C] or [N, C] as [1, C, 1, 1] or [N, C, 1, 1]. */
function overPositions(parameter: Value, lowering: Lowering): string {
  const shape =
    parameter.shape.length === 1 ? [1, ...parameter.shape] : freeShape(parameter.shape, parameter, lowering);
  return lowering.writer.reshape(lowering.plain(parameter), [...shape, 1, 1]);
}

/** Weights times their channel's scale and the bias, when all are known: a convolution with a bias. */
function foldedConvolution(value: Value<"channelAffine">, lowering: Lowering): Physical | undefined {
  const [conv, scale, bias] = value.operands;
  if (conv === undefined || !isOp(conv, "conv2d") || lowering.uses(conv) !== 1) return undefined;
  const weight = conv.operands[1]!;
  if (!isOp(weight, "constant") || !isOp(scale!, "constant") || !isOp(bias!, "constant")) return undefined;
  if (scale.shape.length !== 1) return undefined;
  const factors = floatData(scale.attrs.tensor);
  const weights = floatData(weight.attrs.tensor);
  const perFilter = weights.length / factors.length;
  const scaled = weights.map((w, i) => w * factors[Math.floor(i / perFilter)]!);
  const { writer } = lowering;
  const name = writer.op(
    "Conv",
    [lowering.plain(conv.operands[0]!), writer.floats(weight.shape, scaled), lowering.plain(bias)],
    convAttributes(conv),
  );
  return plain(name);
}

function convAttributes({ attrs, operands }: Value<"conv2d">): Record<string, number | readonly number[]> {
  const { strides, pads, dilations, groups } = attrs;
  return { strides, pads, dilations, group: groups, kernel_shape: operands[1]!.shape.slice(2) };
}

export const plainRules: { readonly [O in OpName]: LowerRule<Value<O>> } = {
  // Every input is defined before the lowering starts.
  input: () => undefined,
  constant: (value, { writer }) => plain(writer.tensor(value.attrs.tensor)),
  unary: (value, lowering) =>
    plain(lowering.writer.op(unaryOps[value.attrs.kind], [lowering.plain(value.operands[0]!)])),
  binary: (value, lowering) => {
    const { writer, hasFreeBatch } = lowering;
    const names = elementwise(value, lowering);
    // A model with a free batch is for inference: no reshaping there that would need its size.
    const scalars = value.operands.map((operand) => !hasFreeBatch && isScalar(operand, value, lowering));
    const operands = names.map((name, i) => ({ name, scalar: scalars[i]! }));
    return plain(arithmetic(writer, value.attrs.kind, operands, value.shape));
  },
  compare: (value, lowering) => {
    const { writer } = lowering;
    const outcome = writer.op(value.attrs.kind === "greater" ? "Greater" : "Equal", elementwise(value, lowering));
    return plain(writer.op("Cast", [outcome], { to: elementType("float32") }));
  },
  activation: (value, lowering) => {
    const x = lowering.plain(value.operands[0]!);
    return plain(activationFormula(lowering.writer, value.attrs.kind, x, lowering.portable));
  },
  activationGrad: (value, lowering) => {
    const names = value.operands.map((operand) => lowering.plain(operand));
    return plain(activationGradFormula(lowering.writer, value.attrs.kind, names.slice(0, -1), names.at(-1)!));
  },
  cast: (value, lowering) =>
    plain(lowering.writer.op("Cast", [lowering.plain(value.operands[0]!)], { to: elementType(value.attrs.dtype) })),
  stopGradient: (value, lowering) => lowering.physical(value.operands[0]!),
  // Of one process: the sections of a distributed step hold none.
  allReduce: (value, lowering) => lowering.physical(value.operands[0]!),
  reshape: (value, lowering) =>
    plain(lowering.writer.reshape(lowering.plain(value.operands[0]!), freeShape(value.attrs.shape, value, lowering))),
  transpose: (value, lowering) =>
    plain(lowering.writer.transpose(lowering.plain(value.operands[0]!), value.attrs.perm)),
  broadcast: (value, lowering) => {
    const { writer } = lowering;
    const { axes } = value.attrs;
    // Over a free batch a 1: where the source has the batch it keeps it, else ONNX's own broadcasting repeats it.
    const shape = value.attrs.shape.map((dim, i) => (i === 0 && lowering.isBatched(value) ? 1 : dim));
    const source = value.operands[0]!;
    if (isOp(source, "constant") && sizeOf(source.shape) === 1 && sizeOf(shape) <= 4096) {
      return plain(writer.fill(shape, floatData(source.attrs.tensor)[0]!));
    }
    const spread = writer.reshape(
      lowering.plain(source),
      axes.includes(0)
        ? freeShape(value.attrs.shape, value, lowering).map((dim, i) => (axes.includes(i) ? dim : 1))
        : shape.map((dim, i) => (axes.includes(i) ? dim : 1)),
    );
    return plain(writer.op("Expand", [spread, writer.ints(shape)]));
  },
  concat: (value, lowering) => {
    const names = value.operands.map((operand) => lowering.plain(operand));
    return plain(lowering.writer.op("Concat", names, { axis: value.attrs.axis }));
  },
  slice: (value, lowering) => {
    const { writer } = lowering;
    const { axis, start, end } = value.attrs;
    const part = partOf(value, lowering);
    if (part !== undefined) return plain(part);
    const bounds = [writer.ints([start]), writer.ints([end]), writer.ints([axis])];
    return plain(writer.op("Slice", [lowering.plain(value.operands[0]!), ...bounds]));
  },
  pad: (value, lowering) => {
    const { axis, before, after } = value.attrs;
    const rank = value.shape.length;
    const pads = new Array<number>(2 * rank).fill(0);
    pads[axis] = before;
    pads[rank + axis] = after;
    return plain(lowering.writer.op("Pad", [lowering.plain(value.operands[0]!), lowering.writer.ints(pads)]));
  },
  flip: (value, lowering) => {
    const { writer } = lowering;
    const { axes } = value.attrs;
    const bounds = [axes.map(() => -1), axes.map(() => -(2 ** 31)), axes, axes.map(() => -1)];
    return plain(writer.op("Slice", [lowering.plain(value.operands[0]!), ...bounds.map((list) => writer.ints(list))]));
  },
  reduceSum: (value, lowering) => reduce("ReduceSum", value, value.attrs.axes, lowering),
  reduceMax: (value, lowering) => reduce("ReduceMax", value, value.attrs.axes, lowering),
  argMax: (value, lowering) => {
    const { writer } = lowering;
    const index = writer.op("ArgMax", [lowering.plain(value.operands[0]!)], { axis: -1, keepdims: 0 });
    return plain(writer.op("Cast", [index], { to: elementType("int32") }));
  },
  matmul: (value, lowering) => {
    const { writer, portable } = lowering;
    const { transA, transB } = value.attrs;
    const [a, b] = [lowering.plain(value.operands[0]!), lowering.plain(value.operands[1]!)];
    if (!transA && !transB) return plain(writer.op("MatMul", [a, b]));
    const flags = { transA: Number(transA), transB: Number(transB) };
    if (value.shape.length === 2) return plain(writer.op("Gemm", [a, b], flags));
    if (!portable) return plain(writer.op("FusedMatMul", [a, b], flags, { domain: "com.microsoft" }));
    const turn = (name: string, turned: boolean): string => (turned ? writer.transpose(name, [0, 2, 1]) : name);
    return plain(writer.op("MatMul", [turn(a, transA), turn(b, transB)]));
  },
  logSoftmax: (value, lowering) =>
    plain(lowering.writer.op("LogSoftmax", [lowering.plain(value.operands[0]!)], { axis: -1 })),
  oneHot: (value, lowering) => {
    const { writer } = lowering;
    const labels = writer.op("Cast", [lowering.plain(value.operands[0]!)], { to: elementType("int64") });
    const operands = [labels, writer.ints([value.attrs.depth]), writer.floats([2], Float32Array.of(0, 1))];
    return plain(writer.op("OneHot", operands, { axis: -1 }));
  },
  conv2d: (value, lowering) => {
    const names = value.operands.map((operand) => lowering.plain(operand));
    return plain(lowering.writer.op("Conv", names, convAttributes(value)));
  },
  conv2dInputGrad: (value, lowering) => {
    const [dy, w] = [value.operands[0]!, value.operands[1]!];
    const { strides, pads, dilations, groups, inputShape } = value.attrs;
    const left = [0, 1].map((axis) => {
      const kernel = dilations[axis]! * (w.shape[2 + axis]! - 1) + 1;
      const reached = (dy.shape[2 + axis]! - 1) * strides[axis]! + kernel - pads[axis]! - pads[axis + 2]!;
      return inputShape[2 + axis]! - reached;
    });
    const attributes = {
      strides,
      pads,
      dilations,
      group: groups,
      kernel_shape: w.shape.slice(2),
      output_padding: left,
    };
    return plain(lowering.writer.op("ConvTranspose", [lowering.plain(dy), lowering.plain(w)], attributes));
  },
  conv2dWeightGrad: (value, lowering) => {
    // Batch and channels change roles: x as [I, G*N, H, W], dy as filters [G*Og, N, OH, OW] in G groups.
    const { writer } = lowering;
    const [x, dy] = [value.operands[0]!, value.operands[1]!];
    const { strides, pads, dilations, groups: g, weightShape } = value.attrs;
    const [n, c, h, w] = x.shape as [number, number, number, number];
    const [, o, oh, ow] = dy.shape as [number, number, number, number];
    const [, i, kh, kw] = weightShape as [number, number, number, number];
    const images = writer.reshape(
      writer.transpose(writer.reshape(lowering.plain(x), [n, g, c / g, h, w]), [2, 1, 0, 3, 4]),
      [i, g * n, h, w],
    );
    const filters = writer.transpose(lowering.plain(dy), [1, 0, 2, 3]);
    const attributes = { strides: dilations, dilations: strides, pads, group: g, kernel_shape: [oh, ow] };
    const product = writer.op("Conv", [images, filters], attributes);
    const cropped = writer.op("Slice", [product, writer.ints([0, 0]), writer.ints([kh, kw]), writer.ints([2, 3])]);
    const dw = writer.transpose(cropped, [1, 0, 2, 3]);
    return plain(writer.reshape(dw, [o, i, kh, kw]));
  },
  channelAffine: (value, lowering) => {
    const folded = foldedConvolution(value, lowering);
    if (folded !== undefined) return folded;
    const { writer } = lowering;
    const [x, scale, bias] = value.operands;
    const scaled = writer.op("Mul", [lowering.plain(x!), overPositions(scale!, lowering)]);
    return plain(writer.op("Add", [scaled, overPositions(bias!, lowering)]));
  },
  spatialDot: (value, lowering) => {
    const { writer } = lowering;
    const names = value.operands.map((operand) => lowering.plain(operand));
    return plain(writer.op("ReduceSum", [writer.op("Mul", names), writer.ints([2, 3])], { keepdims: 0 }));
  },
  maxPool2d: (value, lowering) => {
    const { kernel, strides, pads } = value.attrs;
    const attributes = { kernel_shape: kernel, strides, pads };
    return plain(lowering.writer.op("MaxPool", [lowering.plain(value.operands[0]!)], attributes));
  },
  maxPool2dGrad: (value, lowering) => {
    const { writer } = lowering;
    const { kernel, strides, pads } = value.attrs;
    const [x, , dy] = value.operands;
    const attributes = { kernel_shape: kernel, strides, pads };
    const places = writer.ops("MaxPool", [lowering.plain(x!)], attributes, { outputs: 2 })[1]!;
    const size = sizeOf(value.shape);
    const empty = writer.op("Expand", [writer.float(0), writer.ints([size])]);
    const flat = [empty, writer.reshape(places, [-1]), writer.reshape(lowering.plain(dy!), [-1])];
    return plain(writer.reshape(writer.op("ScatterElements", flat, { reduction: "add" }), value.shape));
  },
  avgPool2d: (value, lowering) => {
    const { kernel, strides, pads } = value.attrs;
    const attributes = { kernel_shape: kernel, strides, pads, count_include_pad: 1 };
    return plain(lowering.writer.op("AveragePool", [lowering.plain(value.operands[0]!)], attributes));
  },
  avgPool2dGrad: (value, lowering) => {
    const { writer } = lowering;
    const { kernel, strides, pads, inputShape } = value.attrs;
    const dy = value.operands[0]!;
    const channels = inputShape[1]!;
    const left = [0, 1].map((axis) => {
      const reached = (dy.shape[2 + axis]! - 1) * strides[axis]! + kernel[axis]! - pads[axis]! - pads[axis + 2]!;
      return inputShape[2 + axis]! - reached;
    });
    const spread = writer.fill([channels, 1, ...kernel], 1 / (kernel[0] * kernel[1]));
    const attributes = { strides, pads, group: channels, kernel_shape: kernel, output_padding: left };
    return plain(writer.op("ConvTranspose", [lowering.plain(dy), spread], attributes));
  },
  affineSample: (value, lowering) => {
    const { writer } = lowering;
    const { height, width, mode, border } = value.attrs;
    const n = value.shape[0]!;
    const base = new Float32Array(3 * height * width);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const at = y * width + x;
        base[at] = width === 1 ? 0 : (2 * x) / (width - 1) - 1;
        base[height * width + at] = height === 1 ? 0 : (2 * y) / (height - 1) - 1;
        base[2 * height * width + at] = 1;
      }
    }
    const places = writer.op("MatMul", [lowering.plain(value.operands[1]!), writer.floats([3, height * width], base)]);
    const grid = writer.reshape(writer.transpose(places, [0, 2, 1]), freeShape([n, height, width, 2], value, lowering));
    return plain(
      writer.op("GridSample", [lowering.plain(value.operands[0]!), grid], {
        align_corners: 1,
        mode: mode === "nearest" ? "nearest" : "linear",
        padding_mode: border === "reflect" ? "reflection" : "zeros",
      }),
    );
  },
  gridSample: (value, lowering) => {
    const names = value.operands.map((operand) => lowering.plain(operand));
    // onnxruntime has a fast path for exactly these settings: three times as fast as the others.
    return plain(lowering.writer.op("GridSample", names, { align_corners: 0, mode: "linear", padding_mode: "zeros" }));
  },
  lookup: (value, lowering) => {
    const { writer } = lowering;
    const [n, c, h, w] = value.shape as [number, number, number, number];
    const bytes = writer.reshape(lowering.plain(value.operands[0]!), freeShape([n, c, h * w], value, lowering));
    const indices = writer.op("Cast", [bytes], { to: elementType("int32") });
    const found = writer.op("GatherElements", [lowering.plain(value.operands[1]!), indices], { axis: 2 });
    return plain(writer.reshape(found, freeShape(value.shape, value, lowering)));
  },
  resize: (value, lowering) => {
    const { writer } = lowering;
    const sizes = [value.attrs.height, value.attrs.width];
    const operands = [lowering.plain(value.operands[0]!), "", "", writer.ints(sizes)];
    const attributes = { mode: "linear", coordinate_transformation_mode: "half_pixel", axes: [2, 3] };
    return plain(writer.op("Resize", operands, attributes));
  },
  resizeGrad: (value, lowering) => {
    const { writer } = lowering;
    const [, , h, w] = value.operands[0]!.shape as [number, number, number, number];
    const [, , ih, iw] = value.attrs.inputShape as [number, number, number, number];
    const dy = lowering.plain(value.operands[0]!);
    const narrow = writer.op("MatMul", [dy, writer.floats([w, iw], interpolationMatrix(iw, w))]);
    const columns = writer.transpose(writer.floats([h, ih], interpolationMatrix(ih, h)), [1, 0]);
    return plain(writer.op("MatMul", [columns, narrow]));
  },
};

/** A slice by the one operation that cuts its operand into all of them, where they fill it end to end. */
function partOf(value: Value<"slice">, lowering: Lowering): string | undefined {
  const { axis } = value.attrs;
  const whole = value.operands[0]!;
  const parts = lowering
    .users(whole)
    .filter((user) => isOp(user, "slice"))
    .filter(({ attrs }) => attrs.axis === axis)
    .toSorted((a, b) => a.attrs.start - b.attrs.start);
  const tiles = parts.every(({ attrs }, i) => attrs.start === (i === 0 ? 0 : parts[i - 1]!.attrs.end));
  if (parts.length < 3 || !tiles || parts.at(-1)!.attrs.end !== whole.shape[axis]) return undefined;
  const at = parts.indexOf(value);
  return lowering.memoList(`parts ${lowering.id(whole)} ${axis}`, () => {
    const sizes = lowering.writer.ints(parts.map(({ attrs }) => attrs.end - attrs.start));
    return lowering.writer.ops("Split", [lowering.plain(whole), sizes], { axis }, { outputs: parts.length });
  })[at];
}

function reduce(type: string, value: Value, axes: readonly number[], lowering: Lowering): Physical {
  const { writer } = lowering;
  return plain(writer.op(type, [lowering.plain(value.operands[0]!), writer.ints(axes)], { keepdims: 0 }));
}
