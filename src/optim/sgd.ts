import { add, scale, scaleBy, sub } from "../graph/build.ts";
import type { Value } from "../graph/value.ts";
import { checkGroups, type Optimizer, type ParameterGroup, rateOf } from "./optimizer.ts";

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
  checkGroups("sgd", groups);
  const slotOf = (parameter: string): string => `sgd/momentum/${parameter}`;
  const rateName = (group: ParameterGroup): string => `sgd/learningRate/${group.name}`;
  const parameters = groups.flatMap((group) => group.parameters);
  return {
    name: "sgd",
    parameters,
    slots: parameters.map((parameter) => ({ name: slotOf(parameter), parameter })),
    scalars: ["sgd/momentum", ...groups.map(rateName)],
    scalarsAt: (step) =>
      Object.fromEntries([
        ["sgd/momentum", momentum],
        ...groups.map((group) => [rateName(group), rateOf(group, step)]),
      ]),
    learningRateAt: (step) => rateOf(groups[0]!, step),
    update({ parameters: current, gradients, slots, scalars }) {
      const nextParameters: Record<string, Value> = {};
      const nextSlots: Record<string, Value> = {};
      for (const group of groups) {
        for (const name of group.parameters) {
          const p = current[name]!;
          const v = slots[slotOf(name)]!;
          const gradient = gradients[name];
          if (gradient === undefined) {
            nextParameters[name] = p;
            nextSlots[slotOf(name)] = v;
            continue;
          }
          const g = group.weightDecay === 0 ? gradient : add(scale(p, group.weightDecay), gradient);
          const nextV = add(scaleBy(v, scalars["sgd/momentum"]!), g);
          const u = variant === "nesterov" ? add(scaleBy(nextV, scalars["sgd/momentum"]!), g) : nextV;
          nextParameters[name] = sub(p, scaleBy(u, scalars[rateName(group)]!));
          nextSlots[slotOf(name)] = nextV;
        }
      }
      return { parameters: nextParameters, slots: nextSlots };
    },
  };
}
