import { afterAll, describe, expect, test } from "vitest";
import { gradients } from "../../src/autodiff/grad.ts";
import { createOnnxExecutor } from "../../src/backends/onnx/executor.ts";
import { createReferenceExecutor } from "../../src/backends/reference/executor.ts";
import { input, mul, sumAll } from "../../src/graph/build.ts";
import type { Executor } from "../../src/graph/executor.ts";
import { defineGraph } from "../../src/graph/graph.ts";
import { floatData, type Tensor } from "../../src/tensor/tensor.ts";
import { deviation } from "../numerics/deviation.ts";
import { type GoldenArray, openGolden } from "./golden-file.ts";
import { opFamilies } from "./op-families.ts";

interface GoldenCase {
  readonly family: string;
  readonly title: string;
  readonly attrs: unknown;
  readonly inputs: Readonly<Record<string, GoldenArray>>;
  readonly cotangent: GoldenArray;
  readonly output: GoldenArray;
  readonly gradients: Readonly<Record<string, GoldenArray>>;
}

const golden = openGolden<{ readonly cases: readonly GoldenCase[]; readonly maxRelativeErrorFloat32: number }>("ops");

/** The interpreter rounds once an operation; other executors accumulate in float32, by Winograd's method at worst. */
const executors: readonly (readonly [string, number, () => Promise<Executor>])[] = [
  ["reference", 2e-6, async () => createReferenceExecutor()],
  ["ONNX, plain kernels", 2e-5, () => createOnnxExecutor({ device: "cpu", kernels: "plain", threads: 2 })],
  ["ONNX, default kernels", 2e-4, () => createOnnxExecutor({ device: "cpu", kernels: "auto", threads: 2 })],
];

function expectClose(what: string, actual: Tensor | undefined, expected: GoldenArray, bound: number): void {
  expect(actual?.shape, `shape of ${what}`).toEqual(expected.shape);
  expect(deviation(floatData(actual!), floatData(golden.read(expected))), what).toBeLessThanOrEqual(bound);
}

describe.each(executors)("%s executor agrees with PyTorch", (_, bound, makeExecutor) => {
  const seen = new Set<string>();

  test.each(golden.index.cases)("$family: $title", async ({ family, attrs, inputs, cotangent, output, ...rest }) => {
    seen.add(family);
    const values = Object.fromEntries(
      Object.entries(inputs).map(([name, { dtype, shape }]) => [name, input(name, dtype, shape)]),
    );
    const build = opFamilies[family];
    if (build === undefined) throw new Error(`no builder for the golden family ${family}`);
    const result = build(values, attrs);
    const wrt = Object.keys(rest.gradients);
    const dy = input("cotangent", "float32", result.shape);
    const grads =
      wrt.length === 0
        ? []
        : gradients(
            sumAll(mul(result, dy)),
            wrt.map((name) => values[name]!),
          );
    const graph = defineGraph({
      name: family,
      inputs: [...Object.values(values), ...(wrt.length === 0 ? [] : [dy])],
      outputs: { result, ...Object.fromEntries(wrt.map((name, i) => [`grad.${name}`, grads[i]!])) },
    });
    const executor = await makeExecutor();
    await using executable = await executor.compile(graph);
    const feeds = Object.fromEntries(Object.entries(inputs).map(([name, array]) => [name, golden.read(array)]));
    const actual = await executable.run(wrt.length === 0 ? feeds : { ...feeds, cotangent: golden.read(cotangent) });
    expectClose("output", actual.result, output, bound);
    for (const name of wrt) expectClose(`d/d${name}`, actual[`grad.${name}`], rest.gradients[name]!, bound);
  });

  afterAll(() => {
    expect([...seen].toSorted()).toEqual(Object.keys(opFamilies).toSorted());
  });
});
