import {
  add,
  apply,
  channelAffine,
  constant,
  filled,
  globalAvgPool,
  mul,
  pad,
  reciprocal,
  reduceMax,
  reshape,
  resize,
  shift,
  sqrt,
  sub,
} from "../../../../graph/build.ts";
import type { Value } from "../../../../graph/value.ts";
import { floats } from "../../../../tensor/tensor.ts";
import { spreadTo } from "../broadcasting.ts";
import type { OnnxNode } from "../onnx-node.ts";
import type { ReadRule } from "./rule.ts";

type Pair = [number, number];
type Pads = [number, number, number, number];

function image(node: OnnxNode): Value {
  const x = node.value(0);
  return x.shape.length === 4 ? x : node.refuse(`its operand [${x.shape}] is no batch of images`);
}

interface Window {
  readonly kernel: Pair;
  readonly strides: Pair;
  readonly dilations: Pair;
}

/** [top, left, bottom, right], as the node says or as auto_pad makes them. */
function padsOf(node: OnnxNode, x: Value, { kernel, strides, dilations }: Window): Pads {
  const auto = node.text("auto_pad", "NOTSET");
  if (auto === "VALID") return [0, 0, 0, 0];
  if (auto === "SAME_UPPER" || auto === "SAME_LOWER") {
    const totals = [0, 1].map((axis) => {
      const size = x.shape[2 + axis]!;
      const reached = (Math.ceil(size / strides[axis]!) - 1) * strides[axis]! + dilations[axis]! * (kernel[axis]! - 1);
      return Math.max(0, reached + 1 - size);
    });
    const less = totals.map((total) => Math.floor(total / 2)) as Pair;
    const more = totals.map((total) => Math.ceil(total / 2)) as Pair;
    return auto === "SAME_UPPER" ? [...less, ...more] : [...more, ...less];
  }
  const pads = node.integers("pads") ?? [0, 0, 0, 0];
  if (pads.length !== 4) return node.refuse(`pads [${pads}] are not those of an image`);
  if (pads.some((size) => size < 0 || size > 65_536)) return node.damaged(`pads are [${pads}]`);
  return pads as Pads;
}

export const convolution: ReadRule = (node) => {
  const x = image(node);
  const weight = node.value(1);
  const [, , height, width] = weight.shape;
  if (height === undefined || width === undefined) return node.refuse(`its weight is [${weight.shape}]`);
  const strides = node.pair("strides", [1, 1]);
  const dilations = node.pair("dilations", [1, 1]);
  const pads = padsOf(node, x, { kernel: [height, width], strides, dilations });
  const y = apply("conv2d", [x, weight], { strides, pads, dilations, groups: node.integer("group", 1) });
  if (node.operands[2] === undefined) return y;
  const bias = node.value(2);
  return channelAffine(y, filled(bias.shape, 1), bias);
};

export const batchNormalization: ReadRule = (node) => {
  const x = node.value(0);
  if (node.integer("training_mode", 0) !== 0) return node.refuse("it is in training mode");
  if (node.opset < 9 && node.integer("spatial", 1) !== 1) return node.refuse("its statistics are not of channels");
  const [scale, bias, mean, variance] = [node.value(1), node.value(2), node.value(3), node.value(4)];
  const factor = mul(scale, reciprocal(sqrt(shift(variance, node.float("epsilon", 1e-5)))));
  const term = sub(bias, mul(mean, factor));
  if (x.shape.length === 4) return channelAffine(x, factor, term);
  if (x.shape.length < 2) return node.damaged(`its operand is [${x.shape}]`);
  const over = (parameter: Value): Value =>
    spreadTo(reshape(parameter, [...parameter.shape, ...x.shape.slice(2).map(() => 1)]), x.shape);
  return add(mul(x, over(factor)), over(term));
};

interface Pooling extends Window {
  readonly pads: Pads;
  /** Rows and columns behind the end of the padded image that the last windows reach into (ceil_mode). */
  readonly beyond: Pair;
}

function poolingOf(node: OnnxNode, x: Value): Pooling {
  const kernel = node.pair("kernel_shape", [0, 0]);
  if (kernel[0] < 1) return node.damaged("it has no kernel_shape");
  const strides = node.pair("strides", [1, 1]);
  const dilations = node.pair("dilations", [1, 1]);
  if (dilations.some((dilation) => dilation !== 1)) return node.refuse(`its dilations are [${dilations}]`);
  const pads = padsOf(node, x, { kernel, strides, dilations });
  const beyond = [0, 1].map((axis) => {
    if (node.integer("ceil_mode", 0) === 0) return 0;
    const [stride, window] = [strides[axis]!, kernel[axis]!];
    const padded = x.shape[2 + axis]! + pads[axis]! + pads[axis + 2]!;
    const count = Math.ceil((padded - window) / stride) + 1;
    // The last window begins inside the image or the padding before it.
    const inside = (count - 1) * stride >= x.shape[2 + axis]! + pads[axis]! ? count - 1 : count;
    return Math.max(0, (inside - 1) * stride + window - padded);
  }) as Pair;
  return { kernel, strides, dilations, pads, beyond };
}

function widened([top, left, bottom, right]: Pads, [below, behind]: Pair): Pads {
  return [top, left, bottom + below, right + behind];
}

export const maxPooling: ReadRule = (node) => {
  if (node.outputs.length > 1) return node.refuse("the places of the maxima are asked for");
  const x = image(node);
  const { kernel, strides, pads, beyond } = poolingOf(node, x);
  return apply("maxPool2d", [x], { kernel, strides, pads: widened(pads, beyond) });
};

/**
 * The mean over each window of what counts: the image, and the padding where `count_include_pad` says so. The graph's
 * own pooling always divides by the whole window, so windows at the edge are multiplied by what that is too small.
 */
export const averagePooling: ReadRule = (node) => {
  const x = image(node);
  const { kernel, strides, pads, beyond } = poolingOf(node, x);
  const y = apply("avgPool2d", [x], { kernel, strides, pads: widened(pads, beyond) });
  const padding = node.integer("count_include_pad", 0) === 0 ? [0, 0, 0, 0] : pads;
  const counts = [0, 1].map((axis) => {
    const [from, to] = [-padding[axis]!, x.shape[2 + axis]! + padding[axis + 2]!];
    return Array.from({ length: y.shape[2 + axis]! }, (_, i) => {
      const start = i * strides[axis]! - pads[axis]!;
      return Math.max(1, Math.min(start + kernel[axis]!, to) - Math.max(start, from));
    });
  });
  const area = kernel[0] * kernel[1];
  const factors = counts[0]!.flatMap((rows) => counts[1]!.map((columns) => area / (rows * columns)));
  if (factors.every((factor) => factor === 1)) return y;
  return mul(y, spreadTo(constant(floats([1, 1, ...y.shape.slice(2)], factors)), y.shape));
};

export const globalAveragePooling: ReadRule = (node) => {
  const x = image(node);
  return reshape(globalAvgPool(x), [x.shape[0]!, x.shape[1]!, 1, 1]);
};

export const globalMaxPooling: ReadRule = (node) => {
  const x = image(node);
  return reshape(reduceMax(x, [2, 3]), [x.shape[0]!, x.shape[1]!, 1, 1]);
};

/** Zeros around, in as many dimensions as there are. */
export const padding: ReadRule = (node) => {
  const x = node.value(0);
  const mode = node.text("mode", "constant");
  if (mode !== "constant") return node.refuse(`its mode is ${mode}`);
  const filling = node.operands[2] === undefined ? node.float("value", 0) : (node.known(2).data[0] ?? 0);
  const sizes = node.numbersAt(1, "pads") ?? node.damaged("it has no pads");
  const axes = node.operands[3] === undefined ? x.shape.map((_, i) => i) : node.numbers(3);
  if (sizes.length !== 2 * axes.length) return node.damaged(`${sizes.length} pads for ${axes.length} axes`);
  if (sizes.some((size) => size < 0)) return node.refuse("it cuts off instead of padding");
  if (filling !== 0 && sizes.some((size) => size > 0)) return node.refuse(`it pads with ${filling}`);
  return axes.reduce((value, given, i) => {
    const [before, after] = [sizes[i]!, sizes[axes.length + i]!];
    return before + after === 0 ? value : pad(value, node.axis(given, x.shape.length), before, after);
  }, x);
};

/** Bilinear, with the pixels' centres at halves, as PyTorch's interpolate with align_corners=False. */
export const resizing: ReadRule = (node) => {
  const x = image(node);
  const mode = node.text("mode", "nearest");
  const places = node.text("coordinate_transformation_mode", node.opset < 11 ? "asymmetric" : "half_pixel");
  if (mode !== "linear" || (places !== "half_pixel" && places !== "pytorch_half_pixel")) {
    return node.refuse(`its mode is ${mode} with ${places}`);
  }
  if (node.integer("antialias", 0) !== 0) return node.refuse("it smooths (antialias)");
  const axes = node.integers("axes") ?? [0, 1, 2, 3];
  const sizes = node.operands[3] === undefined ? undefined : node.numbers(3);
  const scales = sizes === undefined ? Array.from(node.known(2).data) : [];
  if (sizes !== undefined && node.text("keep_aspect_ratio_policy", "stretch") !== "stretch") {
    return node.refuse("it keeps the aspect ratio");
  }
  if ((sizes ?? scales).length !== axes.length) return node.damaged("its sizes are not one for each axis");
  const target = [...x.shape];
  for (const [i, given] of axes.entries()) {
    const axis = node.axis(given, 4);
    const size = sizes?.[i] ?? Math.floor(x.shape[axis]! * scales[i]!);
    target[axis] = axis === 0 && size === node.batch.file ? x.shape[0]! : size;
  }
  const [n, c, height, width] = target;
  if (n !== x.shape[0] || c !== x.shape[1]) return node.refuse("it resizes more than height and width");
  if (!(height! >= 1 && width! >= 1)) return node.damaged(`its result is [${target}]`);
  return resize(x, height!, width!);
};
