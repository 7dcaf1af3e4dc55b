import { add, scale, scaleBy, sub } from "../graph/build.ts";
import { momentumParts, type Optimizer, type ParameterGroup, updateElements } from "./optimizer.ts";

export interface SgdOptions {
  readonly groups: readonly ParameterGroup[];
  readonly momentum?: number;
  readonly variant?: "nesterov" | "heavyBall";
}

/**
 * Stochastic gradient descent exactly as torch.optim.SGD (dampening 0): g += decay * p; v = momentum * v + g;
 * p -= rate * (g + momentum * v), or rate * v without Nesterov's look ahead.
 */
export function sgd({ groups, momentum = 0.9, variant = "nesterov" }: SgdOptions): Optimizer {
  const { shared, slotOf, momentumName, rateName } = momentumParts("sgd", groups, momentum);
  return {
    ...shared,
    update: (inputs) =>
      updateElements(
        groups,
        inputs,
        (name) => [slotOf(name)],
        ({ group, parameter: p, gradient, slots: [v] }) => {
          const momentumNow = inputs.scalars[momentumName]!;
          const g = group.weightDecay === 0 ? gradient : add(scale(p, group.weightDecay), gradient);
          const nextV = add(scaleBy(v!, momentumNow), g);
          const u = variant === "nesterov" ? add(scaleBy(nextV, momentumNow), g) : nextV;
          return [sub(p, scaleBy(u, inputs.scalars[rateName(group)]!)), nextV];
        },
      ),
  };
}
