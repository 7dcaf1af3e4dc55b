import { add, div, mul, scale, scaleBy, shift, sqrt, sub } from "../graph/build.ts";
import { checkGroups, type Optimizer, type ParameterGroup, rateOf, updateElements } from "./optimizer.ts";

export interface AdamWOptions {
  readonly groups: readonly ParameterGroup[];
  readonly beta1?: number;
  readonly beta2?: number;
  readonly eps?: number;
}

/** Adam with decoupled weight decay (Loshchilov and Hutter 2019), exactly as torch.optim.AdamW. */
export function adamw({ groups, beta1 = 0.9, beta2 = 0.999, eps = 1e-8 }: AdamWOptions): Optimizer {
  checkGroups("adamw", groups);
  const meanOf = (parameter: string): string => `adamw/mean/${parameter}`;
  const squareOf = (parameter: string): string => `adamw/square/${parameter}`;
  const stepName = (group: ParameterGroup): string => `adamw/stepSize/${group.name}`;
  const decayName = (group: ParameterGroup): string => `adamw/decay/${group.name}`;
  const inverseRoot = "adamw/inverseRootCorrection";
  const parameters = groups.flatMap((group) => group.parameters);
  return {
    name: "adamw",
    parameters,
    slots: parameters.flatMap((parameter) => [
      { name: meanOf(parameter), parameter },
      { name: squareOf(parameter), parameter },
    ]),
    scalars: [inverseRoot, ...groups.map(stepName), ...groups.map(decayName)],
    scalarsAt(step) {
      const correction1 = 1 - beta1 ** (step + 1);
      const correction2 = 1 - beta2 ** (step + 1);
      return Object.fromEntries([
        [inverseRoot, 1 / Math.sqrt(correction2)],
        ...groups.map((group) => [stepName(group), rateOf(group, step) / correction1]),
        ...groups.map((group) => [decayName(group), 1 - rateOf(group, step) * group.weightDecay]),
      ]);
    },
    learningRateAt: (step) => rateOf(groups[0]!, step),
    update: (inputs) =>
      updateElements(
        groups,
        inputs,
        (name) => [meanOf(name), squareOf(name)],
        ({ group, parameter: p, gradient: g, slots: [m, v] }) => {
          const { scalars } = inputs;
          const nextM = add(scale(m!, beta1), scale(g, 1 - beta1));
          const nextV = add(scale(v!, beta2), scale(mul(g, g), 1 - beta2));
          const denominator = shift(scaleBy(sqrt(nextV), scalars[inverseRoot]!), eps);
          const decayed = group.weightDecay === 0 ? p : scaleBy(p, scalars[decayName(group)]!);
          return [sub(decayed, scaleBy(div(nextM, denominator), scalars[stepName(group)]!)), nextM, nextV];
        },
      ),
  };
}
