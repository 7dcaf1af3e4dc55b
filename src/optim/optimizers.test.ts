import { describe, expect, it } from "vitest";
import golden from "../../tests/goldens/optim.json" with { type: "json" };
import { createReferenceExecutor } from "../backends/reference/executor.ts";
import { input } from "../graph/build.ts";
import { defineGraph, type Variable } from "../graph/graph.ts";
import { floats, type Named, scalar, type Tensor, zeros } from "../tensor/tensor.ts";
import { adamw } from "./adamw.ts";
import { clipByGlobalNorm, globalNorm } from "./clip.ts";
import { emaBlend } from "./ema.ts";
import { lookaheadFactors } from "./lookahead.ts";
import { muon } from "./muon.ts";
import { combine, type Optimizer, type ParameterGroup } from "./optimizer.ts";
import { constantSchedule, stepSchedule } from "./schedules.ts";
import { sgd } from "./sgd.ts";

interface Plain {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

const tensors = (values: Named<Plain>): Record<string, Tensor> =>
  Object.fromEntries(Object.entries(values).map(([name, { shape, data }]) => [name, floats(shape, data)]));

/** A graph that takes gradients "grad/NAME" and updates the parameters. */
function updateGraph(optimizer: Optimizer, parameters: Named<Plain>, without: readonly string[] = []) {
  const inputsOf = (names: readonly (readonly [string, readonly number[]])[]) =>
    Object.fromEntries(names.map(([name, shape]) => [name, input(name, "float32", shape)]));
  const shapes = Object.entries(parameters).map(([name, { shape }]) => [name, shape] as const);
  const current = inputsOf(shapes);
  const gradients = Object.fromEntries(
    shapes
      .filter(([name]) => !without.includes(name))
      .map(([name, shape]) => [name, input(`grad/${name}`, "float32", shape)]),
  );
  const slots = inputsOf(optimizer.slots.map(({ name, parameter }) => [name, parameters[parameter]!.shape]));
  const scalars = inputsOf(optimizer.scalars.map((name) => [name, []]));
  const next = optimizer.update({ parameters: current, gradients, slots, scalars });
  const variables: Record<string, Variable> = {};
  for (const [name, value] of Object.entries(current))
    variables[name] = { current: value, next: next.parameters[name]! };
  for (const [name, value] of Object.entries(slots)) variables[name] = { current: value, next: next.slots[name]! };
  return defineGraph({
    name: "update",
    inputs: [...Object.values(gradients), ...Object.values(scalars)],
    variables,
    outputs: {},
  });
}

async function run(optimizer: Optimizer, { initial, gradients }: { initial: Named<Plain>; gradients: Named<Plain>[] }) {
  await using executable = await createReferenceExecutor().compile(updateGraph(optimizer, initial));
  const slots = optimizer.slots.map(({ name, parameter }) => [name, zeros("float32", initial[parameter]!.shape)]);
  executable.writeState({ ...tensors(initial), ...Object.fromEntries(slots) });
  const after: Record<string, Tensor>[] = [];
  for (const [step, gradient] of gradients.entries()) {
    const scalars = Object.entries(optimizer.scalarsAt(step)).map(([name, value]) => [name, scalar(value)]);
    const grads = Object.entries(tensors(gradient)).map(([name, value]) => [`grad/${name}`, value]);
    await executable.run(Object.fromEntries([...scalars, ...grads]));
    after.push(executable.readState(Object.keys(initial)));
  }
  return after;
}

const group = (name: string, parameters: string[], learningRate: number, weightDecay = 0): ParameterGroup => ({
  name,
  parameters,
  learningRate,
  weightDecay,
  schedule: constantSchedule,
});

const schedule = stepSchedule({ everySteps: 2, gamma: 0.1 });
const sgdGroups = [group("a", ["a"], 0.1, 0.01), group("b", ["b"], 0.5)];
const cases: Record<keyof typeof golden.optimizers, Optimizer> = {
  sgdNesterov: sgd({ groups: sgdGroups, momentum: 0.85 }),
  sgdHeavyBall: sgd({ groups: sgdGroups, momentum: 0.85, variant: "heavyBall" }),
  adamw: adamw({
    groups: [
      { ...group("a", ["a"], 0.02, 0.05), schedule },
      { ...group("b", ["b"], 0.5), schedule },
    ],
  }),
  muon: muon({ groups: [group("filters", ["wide", "tall"], 0.24)] }),
};

describe("optimisers", () => {
  it.each(Object.entries(cases))("%s follows PyTorch step by step", async (name, optimizer) => {
    const expected = golden.optimizers[name as keyof typeof cases];
    const steps = await run(optimizer, expected as { initial: Named<Plain>; gradients: Named<Plain>[] });
    expect(steps.length).toBe(expected.after.length);
    steps.forEach((parameters, step) => {
      for (const [parameter, { data }] of Object.entries(expected.after[step] as Named<Plain>)) {
        data.forEach((value, i) => {
          expect(parameters[parameter]!.data[i], `${parameter}[${i}] after step ${step}`).toBeCloseTo(value, 5);
        });
      }
    });
  });

  it.each(Object.entries(cases))(
    "%s leaves a parameter without a gradient alone, with its slots",
    (name, optimizer) => {
      const { initial } = golden.optimizers[name as keyof typeof cases];
      const frozen = Object.keys(initial)[0]!;
      const graph = updateGraph(optimizer, initial as Named<Plain>, [frozen]);
      expect(graph.variables[frozen]!.next).toBe(graph.variables[frozen]!.current);
      for (const slot of optimizer.slots.filter(({ parameter }) => parameter === frozen)) {
        expect(graph.variables[slot.name]!.next).toBe(graph.variables[slot.name]!.current);
      }
    },
  );

  it("refuse groups that share a parameter, have none, or have impossible numbers", () => {
    expect(() => sgd({ groups: [group("x", ["a"], 1), group("y", ["a"], 1)] })).toThrow(/two parameter groups/);
    expect(() => adamw({ groups: [] })).toThrow(/no parameters/);
    expect(() => sgd({ groups: [group("x", ["a"], -1)] })).toThrow(/learning rate -1/);
    expect(() => sgd({ groups: [group("x", ["a"], 1, Number.NaN)] })).toThrow(/weight decay NaN/);
    expect(() => combine(sgd({ groups: sgdGroups }), sgd({ groups: sgdGroups }))).toThrow(/share/);
  });
});

describe("clipping", () => {
  it("scales to the global norm as PyTorch does and reports the norm before", async () => {
    const { before, after, norm, maxNorm } = golden.clipping;
    const inputs = Object.fromEntries(
      Object.entries(before).map(([name, { shape }]) => [name, input(name, "float32", shape)]),
    );
    const total = globalNorm(inputs);
    const graph = defineGraph({
      name: "clip",
      inputs: Object.values(inputs),
      outputs: { norm: total, ...clipByGlobalNorm(inputs, total, maxNorm) },
    });
    await using executable = await createReferenceExecutor().compile(graph);
    const results = await executable.run(tensors(before));
    expect(results.norm!.data[0]).toBeCloseTo(norm, 5);
    for (const [name, { data }] of Object.entries(after)) {
      data.forEach((value, i) => {
        expect(results[name]!.data[i]).toBeCloseTo(value, 6);
      });
    }
    const small = Object.fromEntries(
      Object.entries(tensors(before)).map(([name, t]) => [
        name,
        floats(
          t.shape,
          Array.from(t.data, (x) => x * 0.01),
        ),
      ]),
    );
    const kept = await executable.run(small);
    expect(kept.a!.data).toEqual(small.a!.data);
  });
});

describe("averages", () => {
  it("emaBlend starts quickly and settles at 1 - decay", () => {
    expect(emaBlend(0, 0.999)).toBeCloseTo(0.9, 12);
    expect(emaBlend(1_000_000, 0.999)).toBeCloseTo(0.001, 12);
  });

  it("lookaheadFactors follow until the start, then sync every five steps and at the end of epochs", () => {
    const options = { totalSteps: 28, stepsPerEpoch: 7, startEpoch: 1 };
    const factors = Array.from({ length: 28 }, (_, step) => lookaheadFactors(step, options));
    // Steps done 1..10 follow: 10 is the first multiple of five in epoch 1, where the slow weights are set up.
    for (const factor of factors.slice(0, 10)) expect(factor).toEqual({ blend: 1, sync: 0 });
    expect(factors[10]).toEqual({ blend: 0, sync: 0 });
    expect(factors[13]).toEqual({ blend: 0, sync: 1 });
    expect(factors[14]).toEqual({ blend: 1 - 0.95 ** 5 * (15 / 28) ** 3, sync: 1 });
    expect(factors[27]).toEqual({ blend: 0, sync: 1 });
  });
});
