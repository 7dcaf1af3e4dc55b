import type { ActivationKind } from "../../graph/ops.ts";
import { heNormalInit, type Initializer } from "../initializers.ts";
import { type Module, sequential } from "../module.ts";
import { type BatchNormOptions, batchNorm } from "./batch-norm.ts";
import { conv2d } from "./conv.ts";
import { activation } from "./pointwise.ts";

export interface SameConvOptions {
  readonly inChannels: number;
  readonly outChannels: number;
  /** Odd. */
  readonly kernel: number;
  readonly stride?: number;
  readonly groups?: number;
  /** Default: He et al. 2015, by the fan-out. */
  readonly weightInit?: Initializer;
}

/** A convolution without bias that keeps the size at stride 1. */
export function sameConv(name: string, options: SameConvOptions): Module {
  return conv2d(name, { weightInit: heNormalInit("fanOut"), ...options, padding: (options.kernel - 1) / 2 });
}

export interface ConvNormOptions extends SameConvOptions {
  readonly norm?: BatchNormOptions | undefined;
  /** Default: none. */
  readonly activation?: ActivationKind | undefined;
}

/** `NAME.0` a convolution that keeps the size at stride 1, `NAME.1` its batch norm, and an activation. */
export function convNorm(name: string, { norm, activation: kind, ...conv }: ConvNormOptions): Module {
  const after = kind === undefined ? [] : [activation(kind)];
  return sequential(sameConv(`${name}.0`, conv), batchNorm(`${name}.1`, conv.outChannels, norm), ...after);
}
