import { describe, expect, it } from "vitest";
import { gradients } from "../../src/autodiff/grad.ts";
import { createOnnxExecutor } from "../../src/backends/onnx/executor.ts";
import { createReferenceExecutor } from "../../src/backends/reference/executor.ts";
import { input, mul, sumAll } from "../../src/graph/build.ts";
import { defineGraph } from "../../src/graph/graph.ts";
import { rcbam } from "../../src/nn/layers/rcbam.ts";
import { trace } from "../../src/nn/trace.ts";
import { floatData, type Named } from "../../src/tensor/tensor.ts";
import { type GoldenArray, openGolden } from "../goldens/golden-file.ts";
import { deviation } from "./deviation.ts";

interface Golden {
  readonly channels: number;
  readonly innerChannels: number;
  readonly ratio: number;
  readonly given: Named<GoldenArray>;
  readonly x: GoldenArray;
  readonly cotangent: GoldenArray;
  readonly evaluated: GoldenArray;
  readonly output: GoldenArray;
  readonly gradients: Named<GoldenArray>;
  readonly buffers: Named<GoldenArray>;
}

const golden = openGolden<Golden>("rcbam");
const { index } = golden;
const module = rcbam("r", index);
const given = {
  ...Object.fromEntries(Object.entries(index.given).map(([name, array]) => [`r.${name}`, golden.read(array)])),
  x: golden.read(index.x),
  cotangent: golden.read(index.cotangent),
};
const onnx = (kernels: "plain" | "auto") => createOnnxExecutor({ device: "cpu", kernels, threads: 2 });
const executors = {
  reference: async () => createReferenceExecutor(),
  "onnxruntime, plain kernels": () => onnx("plain"),
  onnxruntime: () => onnx("auto"),
};

/** Largest difference relative to the largest element. Measured: 1.2e-6. */
const bound = 1e-5;

describe.each(Object.entries(executors))("rcbam on %s", (_, makeExecutor) => {
  it("gives PyTorch's output, running statistics and gradients", async () => {
    const x = input("x", "float32", index.x.shape);
    const cotangent = input("cotangent", "float32", index.x.shape);
    const { output, parameters, buffers, nextBuffers } = trace(module, x, "train");
    const wanted = { ...parameters, x };
    const cotangents = gradients(sumAll(mul(output, cotangent)), Object.values(wanted));
    const graph = defineGraph({
      name: "rcbam",
      inputs: [x, cotangent, ...Object.values(parameters), ...Object.values(buffers)],
      outputs: {
        output,
        ...Object.fromEntries(Object.entries(nextBuffers).map(([name, value]) => [`buffer/${name}`, value])),
        ...Object.fromEntries(Object.keys(wanted).map((name, i) => [`grad/${name}`, cotangents[i]!])),
      },
    });
    await using executable = await (await makeExecutor()).compile(graph);
    const results = await executable.run(given);
    const expected = {
      output: index.output,
      ...Object.fromEntries(Object.entries(index.buffers).map(([name, array]) => [`buffer/r.${name}`, array])),
      ...Object.fromEntries(
        Object.entries(index.gradients).map(([name, array]) => [`grad/${name === "x" ? name : `r.${name}`}`, array]),
      ),
    };
    expect(Object.keys(results).sort()).toEqual(Object.keys(expected).sort());
    for (const [name, array] of Object.entries(expected)) {
      expect(deviation(floatData(results[name]!), floatData(golden.read(array))), name).toBeLessThan(bound);
    }
  });

  it("gives PyTorch's output in evaluation", async () => {
    const x = input("x", "float32", index.x.shape);
    const { output, parameters, buffers } = trace(module, x, "eval");
    const graph = defineGraph({
      name: "rcbam",
      inputs: [x, ...Object.values(parameters), ...Object.values(buffers)],
      outputs: { output },
    });
    await using executable = await (await makeExecutor()).compile(graph);
    const { cotangent: _, ...feeds } = given;
    const { output: actual } = await executable.run(feeds);
    expect(deviation(floatData(actual!), floatData(golden.read(index.evaluated)))).toBeLessThan(bound);
  });
});
