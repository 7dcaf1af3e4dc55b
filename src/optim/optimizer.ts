import { PipelineError } from "../base/errors.ts";
import type { Value } from "../graph/value.ts";
import type { Named } from "../tensor/tensor.ts";
import { packVectors } from "./packed.ts";
import type { Schedule } from "./schedules.ts";

/** Parameters that share hyper-parameters. */
export interface ParameterGroup {
  readonly name: string;
  readonly parameters: readonly string[];
  /** Peak; multiplied by the schedule. */
  readonly learningRate: number;
  readonly weightDecay: number;
  readonly schedule: Schedule;
}

/** State of an optimiser: one array of the parameter's shape, zero at first. */
export interface Slot {
  readonly name: string;
  readonly parameter: string;
}

export interface UpdateInputs {
  /** Current values of all parameters of the optimiser. */
  readonly parameters: Named<Value>;
  /** Parameters without a gradient are left alone, with their slots, as in PyTorch. */
  readonly gradients: Named<Value | undefined>;
  readonly slots: Named<Value>;
  /** Float32 scalars by the names in `scalars`. */
  readonly scalars: Named<Value>;
}

export interface UpdateResult {
  readonly parameters: Named<Value>;
  readonly slots: Named<Value>;
}

export interface ParameterUpdate {
  readonly group: ParameterGroup;
  readonly parameter: Value;
  readonly gradient: Value;
  /** In the order of the slots' names. */
  readonly slots: readonly Value[];
}

/** Gives the next value of a parameter, then those of its slots. */
type UpdateRule = (update: ParameterUpdate) => readonly [parameter: Value, ...slots: Value[]];

/** Applies a rule to each parameter that has a gradient; the others stay as they are, with their slots. */
export function updateEach(
  groups: readonly ParameterGroup[],
  { parameters, gradients, slots }: UpdateInputs,
  slotsOf: (parameter: string) => readonly string[],
  rule: UpdateRule,
) {
  const next = { parameters: {} as Record<string, Value>, slots: {} as Record<string, Value> };
  for (const group of groups) {
    for (const name of group.parameters) {
      const parameter = parameters[name]!;
      const names = slotsOf(name);
      const held = names.map((slot) => slots[slot]!);
      const gradient = gradients[name];
      const [nextParameter, ...rest] =
        gradient === undefined ? [parameter, ...held] : rule({ group, parameter, gradient, slots: held });
      next.parameters[name] = nextParameter;
      for (const [i, slot] of names.entries()) next.slots[slot] = rest[i]!;
    }
  }
  return next;
}

/**
 * The same for rules that act on each element alone: the vectors of a group (scales and biases, which are many and
 * small) are updated as one.
 */
export function updateElements(
  groups: readonly ParameterGroup[],
  inputs: UpdateInputs,
  slotsOf: (parameter: string) => readonly string[],
  rule: UpdateRule,
): UpdateResult {
  const { parameters, gradients, slots } = inputs;
  const packed = groups.map((group) => ({ group, packing: packVectors(group.parameters, gradients) }));
  const next = updateEach(
    packed.map(({ group, packing }) => ({
      ...group,
      parameters: group.parameters.filter((name) => !packing?.names.has(name)),
    })),
    inputs,
    slotsOf,
    rule,
  );
  for (const { group, packing } of packed) {
    if (packing === undefined) continue;
    const slotCount = slotsOf([...packing.names][0]!).length;
    const held = Array.from({ length: slotCount }, (_, i) =>
      packing.join(Object.fromEntries([...packing.names].map((name) => [name, slots[slotsOf(name)[i]!]]))),
    );
    const [nextParameters, ...nextSlots] = rule({
      group,
      parameter: packing.join(parameters),
      gradient: packing.join(gradients),
      slots: held,
    });
    Object.assign(next.parameters, packing.split(nextParameters));
    for (const [i, joined] of nextSlots.entries()) {
      for (const [name, part] of Object.entries(packing.split(joined))) next.slots[slotsOf(name)[i]!] = part;
    }
  }
  return next;
}

/** Scheduled rates of the groups and one slot a parameter, as optimisers with a momentum have them. */
export interface MomentumParts {
  readonly shared: Omit<Optimizer, "update">;
  slotOf(parameter: string): string;
  readonly momentumName: string;
  rateName(group: ParameterGroup): string;
}

/** Slots NAME/momentum/PARAMETER, scalars NAME/momentum and NAME/learningRate/GROUP. */
export function momentumParts(name: string, groups: readonly ParameterGroup[], momentum: number): MomentumParts {
  checkGroups(name, groups);
  const parameters = groups.flatMap((group) => group.parameters);
  const momentumName = `${name}/momentum`;
  const slotOf = (parameter: string): string => `${momentumName}/${parameter}`;
  const rateName = (group: ParameterGroup): string => `${name}/learningRate/${group.name}`;
  return {
    shared: {
      name,
      parameters,
      slots: parameters.map((parameter) => ({ name: slotOf(parameter), parameter })),
      scalars: [momentumName, ...groups.map(rateName)],
      scalarsAt: (step) =>
        Object.fromEntries([
          [momentumName, momentum],
          ...groups.map((group) => [rateName(group), rateOf(group, step)]),
        ]),
      learningRateAt: (step) => rateOf(groups[0]!, step),
    },
    slotOf,
    momentumName,
    rateName,
  };
}

/** A rule that turns gradients into next values, as a graph; what changes from step to step is fed as scalars. */
export interface Optimizer {
  readonly name: string;
  readonly parameters: readonly string[];
  readonly slots: readonly Slot[];
  readonly scalars: readonly string[];
  /** Values of `scalars` for a step, counted from 0 over the whole training. */
  scalarsAt(step: number): Readonly<Record<string, number>>;
  /** Learning rate of the first group. */
  learningRateAt(step: number): number;
  update(inputs: UpdateInputs): UpdateResult;
}

/** Rate of a group at a step. */
export const rateOf = ({ learningRate, schedule }: ParameterGroup, step: number): number =>
  learningRate * schedule(step);

/** @throws INVALID_ARGUMENT when a parameter is in two groups, no group has one, or a number is out of range */
export function checkGroups(optimizer: string, groups: readonly ParameterGroup[]): void {
  const seen = new Set<string>();
  const fail = (why: string): never => {
    throw new PipelineError("INVALID_ARGUMENT", `${optimizer}: ${why}`);
  };
  for (const { name, parameters, learningRate, weightDecay } of groups) {
    if (!(learningRate >= 0 && Number.isFinite(learningRate))) fail(`learning rate ${learningRate} of group ${name}`);
    if (!(weightDecay >= 0 && Number.isFinite(weightDecay))) fail(`weight decay ${weightDecay} of group ${name}`);
    for (const parameter of parameters) {
      if (seen.has(parameter)) fail(`${parameter} is in two parameter groups`);
      seen.add(parameter);
    }
  }
  if (seen.size === 0) fail("no parameters to train");
}

/** Several optimisers over different parameters as one. */
export function combine(...parts: readonly Optimizer[]): Optimizer {
  const first = parts[0];
  if (first === undefined) throw new PipelineError("INVALID_ARGUMENT", "combine: needs an optimiser");
  const names = parts.flatMap((part) => part.parameters);
  if (new Set(names).size !== names.length) {
    throw new PipelineError("INVALID_ARGUMENT", "combine: two optimisers share a parameter");
  }
  return {
    name: parts.map((part) => part.name).join("+"),
    parameters: names,
    slots: parts.flatMap((part) => part.slots),
    scalars: parts.flatMap((part) => part.scalars),
    scalarsAt: (step) => Object.assign({}, ...parts.map((part) => part.scalarsAt(step))),
    learningRateAt: (step) => first.learningRateAt(step),
    update(inputs) {
      const results = parts.map((part) => part.update(inputs));
      return {
        parameters: Object.assign({}, ...results.map((result) => result.parameters)),
        slots: Object.assign({}, ...results.map((result) => result.slots)),
      };
    },
  };
}
