import { add, scaleBy, sub } from "../graph/build.ts";
import type { Value } from "../graph/value.ts";

/** average + blend * (current - average), `blend` a scalar fed at each step. */
export function blendInto(average: Value, current: Value, blend: Value): Value {
  return add(scaleBy(sub(current, average), blend), average);
}

/**
 * Share of the current weights in their exponential moving average at a step counted from 0: 1 - decay, more at the
 * beginning so that the first weights do not linger (decay at most (1 + step) / (10 + step), as in TensorFlow).
 */
export function emaBlend(step: number, decay: number): number {
  return 1 - Math.min(decay, (1 + step) / (10 + step));
}
