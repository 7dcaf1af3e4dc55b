import { beforeAll, describe, expect, test } from "vitest";
import { gradients } from "../../src/autodiff/grad.ts";
import { fromTensor, type ReferenceArray } from "../../src/backends/reference/array.ts";
import { interpret } from "../../src/backends/reference/interpreter.ts";
import * as g from "../../src/graph/build.ts";
import type { Executor } from "../../src/graph/executor.ts";
import { defineGraph, type Graph } from "../../src/graph/graph.ts";
import type { OpName } from "../../src/graph/ops.ts";
import { type Named, type Tensor, zeros } from "../../src/tensor/tensor.ts";
import { composedCases } from "./cases/composed-cases.ts";
import { deviation } from "./deviation.ts";
import { type OpCase, prepare } from "./op-case.ts";
import { opCases } from "./op-cases.ts";
import { differentiate } from "./program.ts";

/**
 * Bounds on `deviation`: the largest difference from the double-precision interpreter over the largest magnitude of the
 * expected tensor. float32 has a unit roundoff of 6e-8; sums of up to 4,608 products stay well below 2e-5. Winograd's
 * F(4x4, 3x3) loses about a digit to its transforms; chains of layers add up what their layers lose.
 */
const bounds = { operation: 2e-5, winograd: 2e-4, chain: 2e-4 } as const;

/** Compares an executor with the reference interpreter for every case of every operation, forward and backward. */
export function describeConformance(name: string, makeExecutor: () => Promise<Executor>): void {
  describe(`${name} agrees with the reference interpreter`, () => {
    let executor: Executor;
    beforeAll(async () => {
      executor = await makeExecutor();
    });

    for (const [op, cases] of Object.entries(opCases) as [OpName, readonly OpCase[]][]) {
      test.each(cases.map((opCase) => ({ opCase })))(`${op}: $opCase.title`, async ({ opCase }) => {
        await compareCase(executor, opCase, opCase.winograd === true ? bounds.winograd : bounds.operation);
      });
    }
    test.each(composedCases.map((opCase) => ({ opCase })))("chain: $opCase.title", async ({ opCase }) => {
      await compareCase(executor, opCase, bounds.chain);
    });
    describeState(() => executor);
    test("names its device", () => {
      expect(executor.device).not.toBe("");
    });
  });
}

/** Shared by the executors that one test file compares. */
const expectedOutputs = new Map<OpCase, Named<ReferenceArray>>();

async function compareCase(executor: Executor, opCase: OpCase, bound: number): Promise<void> {
  const { graph, feeds } = differentiate(prepare(opCase));
  const expected = expectedOutputs.get(opCase) ?? interpret(graph, arraysOf(feeds), "float64").outputs;
  expectedOutputs.set(opCase, expected);
  await using executable = await executor.compile(graph);
  const actual = await executable.run(feeds);
  expect(Object.keys(actual).toSorted()).toEqual(Object.keys(expected).toSorted());
  // `loss` sums numbers of both signs: its error is relative to the result's size, which `result` checks.
  for (const [output, value] of Object.entries(actual)) {
    if (output !== "loss") expectClose(`${output} of ${opCase.title}`, value, expected[output]!, bound);
  }
}

function expectClose(what: string, actual: Tensor, expected: ReferenceArray, bound: number): void {
  expect(actual.shape, `shape of ${what}`).toEqual(expected.shape);
  expect(deviation(fromTensor(actual).data, expected.data), what).toBeLessThanOrEqual(bound);
}

function arraysOf(tensors: Named<Tensor>): Record<string, ReferenceArray> {
  return Object.fromEntries(Object.entries(tensors).map(([name, value]) => [name, fromTensor(value)]));
}

/** Channel counts and kernels whose weights a backend may keep padded or blocked between runs. */
const statefulCases = composedCases.filter(({ inputs }) => Object.keys(inputs).length > 3);

function describeState(executorOf: () => Executor): void {
  test.each(statefulCases.map((opCase) => ({ opCase })))(
    "state: three steps of momentum, $opCase.title",
    async ({ opCase }) => {
      const { graph, feeds, state } = training(opCase);
      await using executable = await executorOf().compile(graph);
      executable.writeState(state);
      expectState(executable.readState(), arraysOf(state), 0);
      let expected = arraysOf(state);
      for (let step = 0; step < 3; step++) {
        const { outputs, next } = interpret(graph, { ...arraysOf(feeds), ...expected }, "float64");
        const actual = await executable.run(feeds);
        expectClose(`loss of step ${step}`, actual.loss!, outputs.loss!, 1e-3);
        expected = next;
      }
      expectState(executable.readState(), expected, 1e-3);
    },
  );

  test("state: outputs see the state before the run", async () => {
    const counter = g.input("counter", "float32", [2]);
    const graph = defineGraph({
      name: "counter",
      inputs: [],
      variables: { counter: { current: counter, next: g.shift(counter, 1) } },
      outputs: { seen: counter },
    });
    await using executable = await executorOf().compile(graph);
    executable.writeState({ counter: { dtype: "float32", shape: [2], data: Float32Array.of(5, 7) } });
    expect(Array.from((await executable.run({})).seen!.data)).toEqual([5, 7]);
    expect(Array.from((await executable.run({})).seen!.data)).toEqual([6, 8]);
    expect(Array.from(executable.readState(["counter"]).counter!.data)).toEqual([7, 9]);
  });

  test("state: two variables can swap", async () => {
    const [a, b] = [g.input("a", "float32", [3]), g.input("b", "float32", [3])];
    const graph = defineGraph({
      name: "swap",
      inputs: [],
      variables: { a: { current: a, next: b }, b: { current: b, next: a } },
      outputs: { sum: g.add(a, b) },
    });
    await using executable = await executorOf().compile(graph);
    executable.writeState({
      a: { dtype: "float32", shape: [3], data: Float32Array.of(1, 2, 3) },
      b: { dtype: "float32", shape: [3], data: Float32Array.of(4, 5, 6) },
    });
    await executable.run({});
    expect(Array.from(executable.readState().a!.data)).toEqual([4, 5, 6]);
    await executable.run({});
    expect(Array.from(executable.readState().a!.data)).toEqual([1, 2, 3]);
  });

  test("state: refuses unknown names and other shapes", async () => {
    const x = g.input("x", "float32", [2]);
    const graph = defineGraph({
      name: "one variable",
      inputs: [],
      variables: { x: { current: x, next: g.neg(x) } },
      outputs: { x },
    });
    await using executable = await executorOf().compile(graph);
    const mismatch = expect.objectContaining({ code: "STATE_MISMATCH" });
    const two = { dtype: "float32" as const, shape: [2], data: new Float32Array(2) };
    expect(() => executable.writeState({ y: two })).toThrow(mismatch);
    expect(() => executable.writeState({ x: { ...two, shape: [1, 2] } })).toThrow(mismatch);
    expect(() => executable.readState(["y"])).toThrow(mismatch);
  });
}

interface Training {
  readonly graph: Graph;
  readonly feeds: Named<Tensor>;
  readonly state: Named<Tensor>;
}

/** Gradient descent with momentum on all inputs of a case but x, which are variables; momentum is laid out as they are. */
function training(opCase: OpCase): Training {
  const { inputs, feeds, result } = prepare(opCase);
  const parameters = Object.keys(inputs).filter((name) => name !== "x");
  const loss = g.scale(g.sumAll(g.mul(result, result)), 1 / result.shape.reduce((a, b) => a * b, 1));
  const grads = gradients(
    loss,
    parameters.map((name) => inputs[name]!),
  );
  const slots = parameters.map((name, i) => {
    const current = g.input(`${name}.momentum`, "float32", inputs[name]!.shape);
    const momentum = g.add(g.scale(current, 0.9), grads[i]!);
    const parameter = { current: inputs[name]!, next: g.sub(inputs[name]!, g.scale(momentum, 0.01)) };
    return {
      [name]: parameter,
      [`${name}.momentum`]: { current, next: momentum, layoutLike: name },
    };
  });
  const variables = Object.assign({}, ...slots) as Graph["variables"];
  return {
    graph: defineGraph({ name: "training", inputs: [inputs.x!], variables, outputs: { loss } }),
    feeds: { x: feeds.x! },
    state: Object.fromEntries(
      Object.entries(variables).map(([name, { current }]) => [name, feeds[name] ?? zeros("float32", current.shape)]),
    ),
  };
}

function expectState(actual: Named<Tensor>, expected: Named<ReferenceArray>, bound: number): void {
  expect(Object.keys(actual).toSorted()).toEqual(Object.keys(expected).toSorted());
  for (const [name, value] of Object.entries(actual)) expectClose(`state ${name}`, value, expected[name]!, bound);
}
