import { PipelineError } from "../../base/errors.ts";
import { broadcastTo, filled, greater, mul, scale } from "../../graph/build.ts";
import { type Module, pure } from "../module.ts";

/**
 * Stochastic depth (Huang et al. 2016), by image as in torchvision's mode "row": in training a whole image's branch is
 * zeroed with probability `rate` and the others grow by 1 / (1 - rate). The random numbers are the graph input
 * `uniforms/NAME` [N].
 * @throws INVALID_ARGUMENT unless 0 <= rate < 1
 */
export function stochasticDepth(name: string, rate: number): Module {
  if (!(rate >= 0 && rate < 1)) {
    throw new PipelineError("INVALID_ARGUMENT", `stochastic depth: rate ${rate} is outside 0..1`, {
      remedy: "give a rate of at least 0 and below 1",
    });
  }
  return pure((x, ctx) => {
    if (rate === 0 || ctx.mode === "eval") return x;
    const count = x.shape[0]!;
    const kept = greater(ctx.uniforms(name, [count]), filled([count], rate));
    return mul(x, broadcastTo(scale(kept, 1 / (1 - rate)), x.shape, [0]));
  });
}
