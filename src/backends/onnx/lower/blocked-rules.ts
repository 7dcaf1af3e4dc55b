import type { OpName } from "../../../graph/ops.ts";
import { isOp, type Value } from "../../../graph/value.ts";
import { sameShape } from "../../../tensor/shape.ts";
import { type Layout, physicalShape } from "../layout.ts";
import type { Lowering, LowerRule, Physical } from "../lowering.ts";
import { affine, nchwc, positionDot, positionMean } from "./blocked-affine.ts";
import { blockedConvolution, lowerInputGrad } from "./blocked-conv.ts";
import { activationFormula, activationGradFormula, arithmetic, unaryOps } from "./elementwise.ts";
import { gatherPositions } from "./spread.ts";
import { isAbsorbed, isAddition, isFusedActivation, lowerSum } from "./sums.ts";
import { lowerWeightGrad } from "./weight-grad.ts";

/**
 * Lowerings to the blocked kernels, tried before the plain ones; undefined means "does not apply here".
 * Element-by-element operations keep whatever layout their operands have.
 */
export const blockedRules: { readonly [O in OpName]?: LowerRule<Value<O>> } = {
  conv2d: (value, lowering) => blockedConvolution(value, lowering),
  conv2dInputGrad: lowerInputGrad,
  conv2dWeightGrad: lowerWeightGrad,
  channelAffine: (value, lowering) => lowerSum(value, lowering),
  binary: (value, lowering) => {
    if (isAddition(value)) {
      const sum = lowerSum(value, lowering);
      if (sum !== undefined) return sum;
    }
    return inCommonLayout(value, lowering, (names, layout) => {
      const operands = names.map((name, i) => ({ name, scalar: lowering.scalarOf(value.operands[i]!) !== undefined }));
      return arithmetic(
        lowering.writer,
        value.attrs.kind,
        operands,
        physicalShape(layout, value.shape, lowering.block),
      );
    });
  },
  unary: (value, lowering) =>
    inCommonLayout(value, lowering, ([x]) => lowering.writer.op(unaryOps[value.attrs.kind], [x!])),
  activation: (value, lowering) => {
    const x = value.operands[0]!;
    const { kind } = value.attrs;
    if (isFusedActivation(kind) && isAbsorbed(x, lowering)) {
      const fused = lowerSum(x, lowering, kind);
      if (fused !== undefined) return fused;
    }
    return inCommonLayout(value, lowering, ([name]) =>
      activationFormula(lowering.writer, kind, name!, lowering.portable),
    );
  },
  activationGrad: (value, lowering) =>
    clippedGrad(value, lowering) ??
    inCommonLayout(value, lowering, (names) =>
      activationGradFormula(lowering.writer, value.attrs.kind, names.slice(0, -1), names.at(-1)!),
    ),
  spatialDot: (value, lowering) => {
    const [x, y] = [value.operands[0]!, value.operands[1]!];
    if (!lowering.isBlocked(x) && !lowering.isBlocked(y)) return undefined;
    const shape = lowering.blockedShape(x.shape);
    return logicalChannels(positionDot(lowering, lowering.blocked(x), lowering.blocked(y), shape), value, lowering);
  },
  reduceSum: (value, lowering) => {
    const x = value.operands[0]!;
    const { axes } = value.attrs;
    const { layout, name } = lowering.physical(x);
    const { writer } = lowering;
    if (layout === "blocked" && axes.length === 2 && axes[0] === 2 && axes[1] === 3) {
      const [, , h, w] = x.shape as [number, number, number, number];
      const mean = positionMean(lowering, name, lowering.blockedShape(x.shape));
      return logicalChannels(writer.op("Mul", [mean, writer.float(h * w)]), value, lowering);
    }
    // The padding of the filter forms is zero: a sum over everything needs no conversion.
    if (isFilterForm(layout) && axes.length === x.shape.length && keepsZeros(x, lowering)) {
      return { name: writer.op("ReduceSum", [name], { keepdims: 0 }), layout: "plain" };
    }
    return undefined;
  },
  reshape: (value, lowering) => {
    const x = value.operands[0]!;
    const { name, layout } = lowering.physical(x);
    return layout === "matrix" && sameShape(value.shape, x.shape.slice(0, 2)) ? { name, layout: "plain" } : undefined;
  },
  maxPool2d: (value, lowering) => pool("MaxPool", value, lowering),
  avgPool2d: (value, lowering) => pool("AveragePool", value, lowering),
  maxPool2dGrad: (value, lowering) => {
    const [x, y, dy] = [value.operands[0]!, value.operands[1]!, value.operands[2]!];
    if (!lowering.isBlocked(x) || !isTiling(value.attrs)) return undefined;
    // mask = 1 where x - y >= 0: y and dy are repeated over their windows, dy is 0 where no window reaches.
    const { writer } = lowering;
    const shape = lowering.blockedShape(x.shape);
    const { kernel, strides } = value.attrs;
    const spreadMax = repeat(lowering.blocked(y), value, lowering, { beyond: "any", negate: true });
    const steep = { activation: "HardSigmoid", activation_params: { floats: [1e30, 1] } };
    const mask = affine(lowering, lowering.blocked(x), shape, { bias: 0, sum: spreadMax, activation: steep });
    // Maxima that tie share dy: what a window hands out is dy in all.
    const tied = writer.op("AveragePool", [mask], { kernel_shape: kernel, strides }, nchwc);
    const share = writer.op("Div", [
      lowering.blocked(dy),
      writer.op("Mul", [tied, writer.float(kernel[0] * kernel[1])]),
    ]);
    const spreadGrad = repeat(share, value, lowering, { beyond: "zero" });
    return { name: writer.op("Mul", [mask, spreadGrad]), layout: "blocked" };
  },
  avgPool2dGrad: (value, lowering) => {
    const dy = value.operands[0]!;
    if (!lowering.isBlocked(dy) || !isTiling(value.attrs)) return undefined;
    const [kh, kw] = value.attrs.kernel;
    return {
      name: repeat(lowering.blocked(dy), value, lowering, { beyond: "zero", factor: 1 / (kh * kw) }),
      layout: "blocked",
    };
  },
  concat: (value, lowering) => {
    const { writer, block } = lowering;
    const whole = value.operands.every((part) => part.shape.length === 4 && part.shape[1]! % block === 0);
    if (value.attrs.axis !== 1 || !whole || !value.operands.some((part) => lowering.isBlocked(part))) return undefined;
    const [n, , h, w] = value.shape as [number, number, number, number];
    const parts = value.operands.map((part) => writer.reshape(lowering.blocked(part), [n, part.shape[1]! * h * w]));
    return { name: writer.reshape(writer.op("Concat", parts, { axis: 1 }), value.shape), layout: "blocked" };
  },
  slice: (value, lowering) => {
    const { writer, block } = lowering;
    const { axis, start, end } = value.attrs;
    const x = value.operands[0]!;
    if (x.shape.length !== 4 || axis !== 1 || !lowering.isBlocked(x)) return undefined;
    if (start % block !== 0 || end % block !== 0 || x.shape[1]! % block !== 0) return undefined;
    const [n, c, h, w] = x.shape as [number, number, number, number];
    const flat = writer.reshape(lowering.blocked(x), [n, c * h * w]);
    const bounds = [writer.ints([start * h * w]), writer.ints([end * h * w]), writer.ints([1])];
    return { name: writer.reshape(writer.op("Slice", [flat, ...bounds]), value.shape), layout: "blocked" };
  },
};

const isFilterForm = (layout: Layout): boolean => layout !== "plain" && layout !== "blocked";

/** True when the zeros of a filter form's padding are still zeros in this value. */
function keepsZeros(value: Value, lowering: Lowering): boolean {
  if (isOp(value, "input") || isOp(value, "conv2dWeightGrad")) return true;
  if (isOp(value, "unary"))
    return ["neg", "abs", "sqrt"].includes(value.attrs.kind) && keepsZeros(value.operands[0]!, lowering);
  if (!isOp(value, "binary")) return false;
  const [a, b] = [value.operands[0]!, value.operands[1]!];
  const scalar = (operand: Value): boolean => lowering.scalarOf(operand) !== undefined;
  switch (value.attrs.kind) {
    case "mul":
      return (scalar(a) || keepsZeros(a, lowering)) && (scalar(b) || keepsZeros(b, lowering));
    case "add":
    case "sub":
    case "max":
    case "min":
      return !scalar(a) && !scalar(b) && keepsZeros(a, lowering) && keepsZeros(b, lowering);
    case "div":
      return scalar(b) && keepsZeros(a, lowering);
    default:
      return value.attrs.kind satisfies never;
  }
}

/** Writes an element-by-element operation in the layout of its operands; undefined when they are all plain. */
function inCommonLayout(
  value: Value,
  lowering: Lowering,
  write: (names: readonly string[], layout: Layout) => string,
): Physical | undefined {
  const scalars = value.operands.map((operand) => (value.shape.length > 0 ? lowering.scalarOf(operand) : undefined));
  const layouts = value.operands.flatMap((operand, i) =>
    scalars[i] === undefined && !isOp(operand, "broadcast") ? [lowering.physical(operand).layout] : [],
  );
  const layout = layouts.find((candidate): candidate is Exclude<Layout, "plain"> => candidate !== "plain");
  if (layout === undefined) return undefined;
  const names = value.operands.map((operand, i) => {
    const scalar = scalars[i];
    if (scalar !== undefined) return lowering.plain(scalar);
    if (layout === "blocked") return lowering.blocked(operand);
    return lowering.filter(operand, layout);
  });
  return { name: write(names, layout), layout };
}

/** A kink close to 0 and the slope below it that make ReLU6's two ends meet: |slope| * KINK = 6 - KINK, exactly. */
const KINK = 2 ** -20;
const SLOPE_BELOW = 6 * 2 ** 20 - 1;

/**
 * ReLU6 backward in three passes, the second in place: f(y) = leaky(y - KINK) falls from 6 - KINK at y = 0 to 0 and rises
 * to 6 - KINK at y = 6, so that the mask is f < 6 - KINK; both ends are exact in float32, and between them only values
 * below 1e-13 are taken for 0.
 */
function clippedGrad(value: Value<"activationGrad">, lowering: Lowering): Physical | undefined {
  const [y, dy] = [value.operands[0]!, value.operands[1]!];
  if (value.attrs.kind !== "relu6" || y.shape.length !== 4 || !lowering.isBlocked(y)) return undefined;
  const { writer } = lowering;
  const leaky = { activation: "LeakyRelu", activation_params: { floats: [-SLOPE_BELOW] } };
  const bent = affine(lowering, lowering.blocked(y), lowering.blockedShape(y.shape), {
    bias: -KINK,
    activation: leaky,
  });
  const steep = { alpha: { float: -(2 ** 100) }, beta: { float: (6 - KINK) * 2 ** 100 } };
  return { name: times(writer.op("HardSigmoid", [bent], steep), dy, lowering), layout: "blocked" };
}

/** A blocked image times dy, which may repeat one number a channel over the positions. */
function times(image: string, dy: Value, lowering: Lowering): string {
  const source = dy.operands[0];
  const repeated = isOp(dy, "broadcast") && source?.shape.length === 2 && dy.attrs.axes.join() === "0,1";
  if (!repeated) return lowering.writer.op("Mul", [lowering.blocked(dy), image]);
  const scale = lowering.channels(source!);
  return affine(lowering, image, lowering.blockedShape(dy.shape), { scale, perSample: true });
}

/** Cuts padded channels off a result [N, C padded]. */
function logicalChannels(name: string, value: Value, lowering: Lowering): Physical {
  const { writer } = lowering;
  const channels = value.shape[1]!;
  if (channels % lowering.block === 0) return { name, layout: "plain" };
  const bounds = [writer.ints([0]), writer.ints([channels]), writer.ints([1])];
  return { name: writer.op("Slice", [name, ...bounds]), layout: "plain" };
}

function pool(
  type: "MaxPool" | "AveragePool",
  value: Value<"maxPool2d"> | Value<"avgPool2d">,
  lowering: Lowering,
): Physical | undefined {
  const x = value.operands[0]!;
  if (!lowering.isBlocked(x)) return undefined;
  const { kernel, strides, pads } = value.attrs;
  const attributes = { kernel_shape: kernel, strides, pads };
  const counting: Record<string, number> = type === "AveragePool" ? { count_include_pad: 1 } : {};
  return {
    name: lowering.writer.op(type, [lowering.blocked(x)], { ...attributes, ...counting }, nchwc),
    layout: "blocked",
  };
}

/** Windows that neither overlap nor reach into padding. */
function isTiling({ kernel, strides, pads }: Value<"maxPool2d">["attrs"]): boolean {
  return kernel[0] === strides[0] && kernel[1] === strides[1] && pads.every((p) => p === 0);
}

interface RepeatOptions {
  /** What stands where no window reaches. */
  readonly beyond: "zero" | "any";
  readonly negate?: true;
  readonly factor?: number;
}

/** Each position of a pooled image over the window that it came from, at the size before pooling. */
function repeat(
  pooled: string,
  grad: Value<"maxPool2dGrad"> | Value<"avgPool2dGrad">,
  lowering: Lowering,
  { beyond, negate, factor = 1 }: RepeatOptions,
): string {
  const [, , h, w] = grad.shape as [number, number, number, number];
  const [n, c, oh, ow] = lowering.blockedShape(grad.operands.at(-1)!.shape);
  const [kh, kw] = grad.attrs.kernel;
  const spare = beyond === "zero" && (oh * kh < h || ow * kw < w) ? 1 : 0;
  let name = pooled;
  if (spare === 1 || factor !== 1)
    name = affine(lowering, name, [n, c, oh, ow], { scale: factor, pads: [0, 0, 0, spare] });
  else if (negate) name = lowering.writer.op("Neg", [name]);
  const places = Int32Array.from({ length: h * w }, (_, i) => {
    const [y, x] = [Math.floor(Math.floor(i / w) / kh), Math.floor((i % w) / kw)];
    return y < oh && x < ow ? y * (ow + spare) + x : spare * ow;
  });
  return gatherPositions(lowering, name, [n, c, oh, ow + spare], places, [h, w]);
}
