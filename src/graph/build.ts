import type { DType } from "../tensor/dtype.ts";
import { type Shape, sameShape, sizeOf } from "../tensor/shape.ts";
import { floatData, floats, type Tensor } from "../tensor/tensor.ts";
import { inferType } from "./infer.ts";
import type {
  ActivationKind,
  Arrival,
  BinaryKind,
  CompareKind,
  ConvAttrs,
  OpAttrs,
  OpName,
  PoolAttrs,
  Precise,
  UnaryKind,
} from "./ops.ts";
import { isOp, type Value } from "./value.ts";

/** Applies an operation: infers and checks the type of the result. */
export function apply<O extends OpName>(op: O, operands: readonly Value[], attrs: OpAttrs[O]): Value<O> {
  // Weights come after what they are applied to.
  const named = operands.slice(1).find(({ layer }) => layer !== undefined) ?? operands[0];
  return { op, attrs, operands, ...inferType(op, operands, attrs), layer: named?.layer };
}

export const input = (name: string, dtype: DType, shape: Shape): Value<"input"> => ({
  ...apply("input", [], { name, dtype, shape }),
  layer: name,
});
export const constant = (tensor: Tensor): Value => apply("constant", [], { tensor });
/** A float32 constant of `shape` filled with one number. */
export const filled = (shape: Shape, value: number): Value => broadcastTo(constant(floats([], [value])), shape, []);

/** The one number of a value that is the same everywhere: a constant scalar or its broadcast. */
export function filledNumber(value: Value): number | undefined {
  const source = isOp(value, "broadcast") ? value.operands[0]! : value;
  if (!isOp(source, "constant") || source.dtype !== "float32" || sizeOf(source.shape) !== 1) return undefined;
  return floatData(source.attrs.tensor)[0];
}

const unary =
  (kind: UnaryKind) =>
  (x: Value): Value =>
    apply("unary", [x], { kind });
export const neg = unary("neg");
export const exp = unary("exp");
export const log = unary("log");
export const sqrt = unary("sqrt");
export const reciprocal = unary("reciprocal");
export const abs = unary("abs");

const binary =
  (kind: BinaryKind) =>
  (a: Value, b: Value): Value =>
    apply("binary", [a, b], { kind });
export const add = binary("add");
export const sub = binary("sub");
export const mul = binary("mul");
export const div = binary("div");
export const max = binary("max");
export const min = binary("min");

const compare =
  (kind: CompareKind) =>
  (a: Value, b: Value): Value =>
    apply("compare", [a, b], { kind });
export const greater = compare("greater");
export const equal = compare("equal");

/** x * factor, x + term: with one number for all elements. */
export const scale = (x: Value, factor: number): Value => mul(x, filled(x.shape, factor));
export const shift = (x: Value, term: number): Value => add(x, filled(x.shape, term));
/** x times a scalar value. */
export const scaleBy = (x: Value, factor: Value): Value => mul(x, broadcastTo(factor, x.shape, []));

export const activation = (x: Value, kind: ActivationKind): Value => apply("activation", [x], { kind });
export const cast = (x: Value, dtype: DType): Value => (x.dtype === dtype ? x : apply("cast", [x], { dtype }));
/** Sum over the processes of a distributed step. */
export const allReduce = (x: Value, arrival: Arrival): Value => apply("allReduce", [x], { arrival });
export const stopGradient = (x: Value): Value => apply("stopGradient", [x], {});

export const reshape = (x: Value, shape: Shape): Value =>
  sameShape(x.shape, shape) ? x : apply("reshape", [x], { shape });
export const transpose = (x: Value, perm: readonly number[]): Value => apply("transpose", [x], { perm });
/** Repeats x to `shape`; dimension i of x becomes dimension axes[i]. A broadcast of a broadcast is one broadcast. */
export function broadcastTo(x: Value, shape: Shape, axes: readonly number[]): Value {
  if (sameShape(x.shape, shape)) return x;
  if (isOp(x, "broadcast"))
    return broadcastTo(
      x.operands[0]!,
      shape,
      x.attrs.axes.map((axis) => axes[axis]!),
    );
  return apply("broadcast", [x], { shape, axes });
}
export const concat = (parts: readonly Value[], axis: number): Value => apply("concat", parts, { axis });
export const slice = (x: Value, axis: number, start: number, end: number): Value =>
  apply("slice", [x], { axis, start, end });
export const pad = (x: Value, axis: number, before: number, after: number): Value =>
  apply("pad", [x], { axis, before, after });
export const flip = (x: Value, axes: readonly number[]): Value => apply("flip", [x], { axes });

export const reduceSum = (x: Value, axes: readonly number[]): Value =>
  axes.length === 0 ? x : apply("reduceSum", [x], { axes });
export const reduceMax = (x: Value, axes: readonly number[]): Value => apply("reduceMax", [x], { axes });
/** Sum of all elements: a scalar. */
export const sumAll = (x: Value): Value =>
  reduceSum(
    x,
    x.shape.map((_, i) => i),
  );
export const argMax = (x: Value): Value => apply("argMax", [x], {});

export interface MatmulOptions extends Precise {
  readonly transA?: boolean;
  readonly transB?: boolean;
}

export const matmul = (a: Value, b: Value, options: MatmulOptions = {}): Value =>
  apply("matmul", [a, b], { ...precise(options), transA: options.transA ?? false, transB: options.transB ?? false });
export const logSoftmax = (x: Value): Value => apply("logSoftmax", [x], {});
export const oneHot = (labels: Value, depth: number): Value => apply("oneHot", [labels], { depth });

const precise = ({ precision }: Precise): Precise => (precision === undefined ? {} : { precision });

export interface ConvOptions {
  readonly stride?: number;
  readonly padding?: number;
  readonly dilation?: number;
  readonly groups?: number;
}

export function conv2d(x: Value, w: Value, options: ConvOptions = {}): Value {
  const { stride = 1, padding = 0, dilation = 1, groups = 1 } = options;
  const attrs: ConvAttrs = {
    strides: [stride, stride],
    pads: [padding, padding, padding, padding],
    dilations: [dilation, dilation],
    groups,
  };
  return apply("conv2d", [x, w], attrs);
}

export const channelAffine = (x: Value, scale: Value, bias: Value): Value =>
  apply("channelAffine", [x, scale, bias], {});
export const spatialDot = (x: Value, y: Value): Value => apply("spatialDot", [x, y], {});

export interface PoolOptions {
  readonly kernel: number;
  /** Default: the kernel's size. */
  readonly stride?: number;
  readonly padding?: number;
}

function poolAttrs({ kernel, stride = kernel, padding = 0 }: PoolOptions): PoolAttrs {
  return { kernel: [kernel, kernel], strides: [stride, stride], pads: [padding, padding, padding, padding] };
}

export const maxPool2d = (x: Value, options: PoolOptions): Value => apply("maxPool2d", [x], poolAttrs(options));
export const avgPool2d = (x: Value, options: PoolOptions): Value => apply("avgPool2d", [x], poolAttrs(options));
/** Mean over H and W: [N, C, H, W] -> [N, C]. */
export const globalAvgPool = (x: Value): Value => scale(reduceSum(x, [2, 3]), 1 / (x.shape[2]! * x.shape[3]!));

export const affineSample = (x: Value, theta: Value, attrs: OpAttrs["affineSample"]): Value =>
  apply("affineSample", [x, theta], attrs);
export const gridSample = (x: Value, grid: Value): Value => apply("gridSample", [x, grid], {});
export const lookup = (x: Value, table: Value): Value => apply("lookup", [x, table], {});
export const resize = (x: Value, height: number, width: number): Value => apply("resize", [x], { height, width });
