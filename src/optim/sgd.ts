import { add, scale, scaleBy, sub } from "../graph/build.ts";
import { checkGroups, type Optimizer, type ParameterGroup, rateOf, updateEach } from "./optimizer.ts";

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
    update: (inputs) =>
      updateEach(
        groups,
        inputs,
        (name) => [slotOf(name)],
        ({ group, parameter: p, gradient, slots: [v] }) => {
          const momentumNow = inputs.scalars["sgd/momentum"]!;
          const g = group.weightDecay === 0 ? gradient : add(scale(p, group.weightDecay), gradient);
          const nextV = add(scaleBy(v!, momentumNow), g);
          const u = variant === "nesterov" ? add(scaleBy(nextV, momentumNow), g) : nextV;
          return [sub(p, scaleBy(u, inputs.scalars[rateName(group)]!)), nextV];
        },
      ),
  };
}
