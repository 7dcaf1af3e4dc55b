import { add, filled, min, mul, reciprocal, scale, scaleBy, shift, sqrt, sumAll } from "../graph/build.ts";
import type { Value } from "../graph/value.ts";
import type { Named } from "../tensor/tensor.ts";
import { packVectors } from "./packed.ts";

/** L2 norm of all gradients taken as one vector: a scalar. */
export function globalNorm(gradients: Named<Value>): Value {
  const packing = packVectors(Object.keys(gradients), gradients);
  const apart = Object.keys(gradients).filter((name) => !packing?.names.has(name));
  const parts = [...(packing === undefined ? [] : [packing.join(gradients)]), ...apart.map((name) => gradients[name]!)];
  const squares = parts.map((part) => sumAll(mul(part, part)));
  return squares.length === 0 ? filled([], 0) : sqrt(squares.reduce(add));
}

/** Scales all gradients so that their global norm is at most `maxNorm`, as torch.nn.utils.clip_grad_norm_. */
export function clipByGlobalNorm(gradients: Named<Value>, norm: Value, maxNorm: number): Record<string, Value> {
  const factor = min(scale(reciprocal(shift(norm, 1e-6)), maxNorm), filled([], 1));
  return Object.fromEntries(Object.entries(gradients).map(([name, gradient]) => [name, scaleBy(gradient, factor)]));
}
