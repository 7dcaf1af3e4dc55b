import type { Lowering } from "../lowering.ts";
import type { Attribute } from "../model-writer.ts";

export const nchwc = { domain: "com.microsoft.nchwc" } as const;

/** Shape of a blocked image's memory: [N, C padded, H, W]. */
export type ImageShape = readonly [number, number, number, number];

/** Activations that the blocked kernels apply while they store a result. */
export type FusedActivation = "relu" | "relu6" | "sigmoid" | "hardSigmoid";

export const fusedActivations: Record<FusedActivation, Record<string, Attribute>> = {
  relu: { activation: "Relu" },
  relu6: { activation: "Clip", activation_params: { floats: [0, 6] } },
  sigmoid: { activation: "Sigmoid" },
  hardSigmoid: { activation: "HardSigmoid", activation_params: { floats: [1 / 6, 0.5] } },
};

export interface AffineOptions {
  /** Name of a vector of as many scales as there are channels; or one number; default 1. */
  readonly scale?: string | number;
  readonly bias?: string | number;
  /** Blocked image of the result's shape that is added. */
  readonly sum?: string;
  /** Scales and biases are given per sample and channel, [N * C]. */
  readonly perSample?: boolean;
  readonly activation?: Record<string, Attribute>;
  /** Zeros around the result: top, left, bottom, right. */
  readonly pads?: readonly [number, number, number, number];
}

/**
 * act(scale * x + bias + sum) in one pass over a blocked image: a depthwise 1x1 convolution.
 * With pads it is a multi-threaded zero-padding.
 */
export function affine(lowering: Lowering, x: string, shape: ImageShape, options: AffineOptions = {}): string {
  const { writer } = lowering;
  const { scale = 1, bias, sum, perSample = false, activation = {}, pads = [0, 0, 0, 0] } = options;
  const [n, c, h, w] = shape;
  const channels = perSample ? n * c : c;
  const view = (name: string): string => (perSample ? writer.reshape(name, [1, channels, h, w]) : name);
  const weights =
    typeof scale === "number" ? writer.fill([channels, 1, 1, 1], scale) : writer.reshape(scale, [channels, 1, 1, 1]);
  const operands = [view(x), weights];
  if (bias !== undefined || sum !== undefined) {
    if (bias === undefined) operands.push("");
    else if (typeof bias === "number") operands.push(writer.fill([channels], bias));
    else operands.push(perSample ? writer.reshape(bias, [channels]) : bias);
  }
  if (sum !== undefined) operands.push(view(sum));
  const result = writer.op("Conv", operands, { kernel_shape: [1, 1], group: channels, pads, ...activation }, nchwc);
  const [top, left, bottom, right] = pads;
  return perSample ? writer.reshape(result, [n, c, h + top + bottom, w + left + right]) : result;
}

/** Sum over the positions of x * y: [N, C padded], without a product tensor. */
export function positionDot(lowering: Lowering, x: string, y: string, [n, c, h, w]: ImageShape): string {
  const { writer } = lowering;
  const operands = [writer.reshape(x, [1, n * c, h, w]), writer.reshape(y, [n * c, 1, h, w])];
  return writer.reshape(writer.op("Conv", operands, { kernel_shape: [h, w], group: n * c }, nchwc), [n, c]);
}

/** Mean over the positions: [N, C padded]. */
export function positionMean(lowering: Lowering, x: string, [n, c]: ImageShape): string {
  return lowering.writer.reshape(lowering.writer.op("GlobalAveragePool", [x], {}, nchwc), [n, c]);
}
