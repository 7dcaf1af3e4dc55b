import type { DType } from "../tensor/dtype.ts";
import type { Shape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";

/**
 * What a sum of products may be computed in. "float32" keeps its operands and result whole where the rest of a graph is
 * computed in mixed precision (passes/autocast.ts): statistics, updates and other sums that outgrow float16. Gradients
 * inherit it.
 */
export interface Precise {
  readonly precision?: "float32" | undefined;
}

/** Geometry of a 2-D convolution; all pairs are [vertical, horizontal], pads are [top, left, bottom, right]. */
export interface ConvAttrs extends Precise {
  readonly strides: readonly [number, number];
  readonly pads: readonly [number, number, number, number];
  readonly dilations: readonly [number, number];
  readonly groups: number;
}

export interface PoolAttrs {
  readonly kernel: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly pads: readonly [number, number, number, number];
}

export type ActivationKind = "relu" | "relu6" | "sigmoid" | "tanh" | "hardSigmoid" | "hardSwish" | "silu" | "gelu";

export type UnaryKind = "neg" | "exp" | "log" | "sqrt" | "reciprocal" | "abs";
export type BinaryKind = "add" | "sub" | "mul" | "div" | "max" | "min";
/** Comparisons give float32 0 or 1. */
export type CompareKind = "greater" | "equal";

/** When the users of a sum over processes need it. */
export type Arrival = "now" | "late";

type NoAttrs = Readonly<Record<never, never>>;

/**
 * The closed set of operations. Broadcasting is an operation of its own; everything else needs operands of equal
 * shape. Gradients of convolution and pooling are named operations, so that a backend can choose how to compute them.
 */
export interface OpAttrs {
  // leaves
  input: { readonly name: string; readonly dtype: DType; readonly shape: Shape };
  constant: { readonly tensor: Tensor };
  // element by element
  unary: { readonly kind: UnaryKind };
  binary: { readonly kind: BinaryKind };
  compare: { readonly kind: CompareKind };
  activation: { readonly kind: ActivationKind };
  /** (saved..., dy) -> dx; which values are saved is in `activationSaves`. */
  activationGrad: { readonly kind: ActivationKind };
  cast: { readonly dtype: DType };
  stopGradient: NoAttrs;
  /**
   * Sum over the processes that run the same graph, each on its part of a batch; in a process alone the value itself.
   * Such a graph is run in sections (passes/sections.ts): what uses a sum that arrives "now" waits for it; a "late" one
   * may travel while the rest is computed and is used in the last section only.
   */
  allReduce: { readonly arrival: Arrival };
  // shape
  reshape: { readonly shape: Shape };
  transpose: { readonly perm: readonly number[] };
  /** Input dimension i becomes output dimension axes[i]; the other output dimensions repeat. */
  broadcast: { readonly shape: Shape; readonly axes: readonly number[] };
  concat: { readonly axis: number };
  slice: { readonly axis: number; readonly start: number; readonly end: number };
  /** Zeros before and after along one axis. */
  pad: { readonly axis: number; readonly before: number; readonly after: number };
  /** Reverses the order along the axes. */
  flip: { readonly axes: readonly number[] };
  // reductions; the reduced axes disappear
  reduceSum: { readonly axes: readonly number[] };
  reduceMax: { readonly axes: readonly number[] };
  /** Index of the first largest element along the last axis, int32. */
  argMax: NoAttrs;
  // linear algebra and classification
  /** [M, K] x [K, N] or batched [B, M, K] x [B, K, N], each operand transposed first where asked. */
  matmul: Precise & { readonly transA: boolean; readonly transB: boolean };
  logSoftmax: NoAttrs;
  /** int32 [N] -> float32 [N, depth]. */
  oneHot: { readonly depth: number };
  // images, [N, C, H, W]
  conv2d: ConvAttrs;
  /** (dy, w) -> dx of `inputShape`. */
  conv2dInputGrad: ConvAttrs & { readonly inputShape: Shape };
  /** (x, dy) -> dw of `weightShape`. */
  conv2dWeightGrad: ConvAttrs & { readonly weightShape: Shape };
  /** (x, scale, bias) -> x * scale + bias with scale and bias of shape [C] or [N, C]. */
  channelAffine: NoAttrs;
  /** (x, y) -> sum over H and W of x * y: [N, C]. */
  spatialDot: NoAttrs;
  maxPool2d: PoolAttrs;
  /**
   * (x, y, dy) -> dx: dy goes to the maximum of its window; where several tie, to the first (row-major) or shared among
   * them, as the backend likes: either is a subgradient.
   */
  maxPool2dGrad: PoolAttrs;
  /** Mean over the whole window, padding counted. */
  avgPool2d: PoolAttrs;
  /** dy -> dx of `inputShape`. */
  avgPool2dGrad: PoolAttrs & { readonly inputShape: Shape };
  /** (x, theta [N, 2, 3]) -> x sampled on the affine grid of theta (align_corners), at the size of `height` x `width`. */
  affineSample: {
    readonly height: number;
    readonly width: number;
    readonly mode: "nearest" | "bilinear";
    readonly border: "zeros" | "reflect";
  };
  /**
   * (x, grid [N, OH, OW, 2]) -> x read at the places of the grid, bilinear, zero outside: places (x, y) from -1 to 1, the
   * outer edges of the image, as PyTorch's grid_sample(align_corners=False).
   */
  gridSample: NoAttrs;
  /** (x uint8 [N, C, H, W], table [N, C, 256]) -> table[n, c, x[n, c, h, w]], float32. */
  lookup: NoAttrs;
  /** Bilinear resize with half-pixel centres, as PyTorch's interpolate(align_corners=False, antialias=False). */
  resize: { readonly height: number; readonly width: number };
  /** dy -> dx of `inputShape`: the transpose of `resize`. */
  resizeGrad: { readonly inputShape: Shape };
}

export type OpName = keyof OpAttrs;

/** What each activation's gradient needs beside dy: its input x, its output y, or both. */
export const activationSaves = {
  relu: ["y"],
  relu6: ["y"],
  sigmoid: ["y"],
  tanh: ["y"],
  hardSigmoid: ["y"],
  hardSwish: ["x"],
  silu: ["x", "y"],
  gelu: ["x"],
} as const satisfies Record<ActivationKind, readonly ("x" | "y")[]>;
