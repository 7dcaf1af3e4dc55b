import { PipelineError } from "../base/errors.ts";
import type { Rng } from "../base/rng.ts";
import type { Shape } from "../tensor/shape.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import type { Initializer } from "./initializers.ts";

/** What a parameter is in its layer: optimisers group by it. */
export type ParameterKind = "filter" | "linear" | "bias" | "normScale" | "normBias";

export interface ParameterSpec {
  /** PyTorch-style: "layer1.conv.weight". */
  readonly name: string;
  readonly shape: Shape;
  readonly kind: ParameterKind;
  readonly init: Initializer;
  /** False for a parameter that keeps the value it starts with. */
  readonly trainable: boolean;
}

/** State that is no parameter: running statistics. */
export interface BufferSpec {
  readonly name: string;
  readonly shape: Shape;
  readonly init: Initializer;
}

/** Weight decay is customary on filters and linear weights only. */
export function decays(kind: ParameterKind): boolean {
  return kind === "filter" || kind === "linear";
}

/**
 * First values of parameters and buffers. Each has its own random stream by name, so a seed gives the same values
 * whatever else the network holds.
 * @throws GRAPH_INVALID when two share a name
 */
export function initialValues(
  specs: readonly (ParameterSpec | BufferSpec)[],
  rng: Rng,
): Record<string, Tensor<"float32">> {
  const values: Record<string, Tensor<"float32">> = {};
  for (const { name, shape, init } of specs) {
    if (values[name] !== undefined) throw new PipelineError("GRAPH_INVALID", `two parameters are called ${name}`);
    values[name] = tensor("float32", shape, init(shape, rng.split(name)));
  }
  return values;
}
