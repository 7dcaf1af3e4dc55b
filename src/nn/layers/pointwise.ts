import { PipelineError } from "../../base/errors.ts";
import { activation as activate, filled, greater, mul, reshape, scale } from "../../graph/build.ts";
import type { ActivationKind } from "../../graph/ops.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { type Module, pure } from "../module.ts";

export const activation = (kind: ActivationKind): Module => pure((x) => activate(x, kind));

/** x times a fixed number. */
export const scaled = (factor: number): Module => pure((x) => (factor === 1 ? x : scale(x, factor)));

/** [N, ...] -> [N, the rest]. */
export const flatten: Module = pure((x) => reshape(x, [x.shape[0]!, sizeOf(x.shape.slice(1))]));

/**
 * Inverted dropout: in training each element is zeroed with probability `rate` and the others grow by 1 / (1 - rate).
 * The random numbers are the graph input `uniforms/NAME`.
 * @throws INVALID_ARGUMENT unless 0 <= rate < 1
 */
export function dropout(name: string, rate: number): Module {
  if (!(rate >= 0 && rate < 1)) {
    throw new PipelineError("INVALID_ARGUMENT", `dropout: rate ${rate} is outside 0..1`, {
      remedy: "give a rate of at least 0 and below 1",
    });
  }
  return pure((x, ctx) => {
    if (rate === 0 || ctx.mode === "eval") return x;
    const kept = greater(ctx.uniforms(name, x.shape), filled(x.shape, rate));
    return mul(x, scale(kept, 1 / (1 - rate)));
  });
}
