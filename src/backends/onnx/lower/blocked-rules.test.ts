import { expect, it } from "vitest";
import { gradients } from "../../../autodiff/grad.ts";
import { channelAffine, conv2d, filled, input, maxPool2d, mul, sumAll } from "../../../graph/build.ts";
import { defineGraph } from "../../../graph/graph.ts";
import { floatData, floats } from "../../../tensor/tensor.ts";
import { createReferenceExecutor } from "../../reference/executor.ts";
import { createOnnxExecutor } from "../executor.ts";

it("max-pool hands out as much gradient as it gets where all of a window tie", async () => {
  const x = input("x", "float32", [16, 16, 8, 8]);
  const w = input("w", "float32", [16, 16, 1, 1]);
  const bias = input("bias", "float32", [16]);
  const dy = input("dy", "float32", [16, 16, 4, 4]);
  const pooled = maxPool2d(channelAffine(conv2d(x, w), filled([16], 1), bias), { kernel: 2 });
  const [dbias] = gradients(sumAll(mul(pooled, dy)), [bias]);
  const graph = defineGraph({ name: "ties", inputs: [x, w, bias, dy], outputs: { dbias: dbias! } });
  const numbers = (length: number): Float32Array => Float32Array.from({ length }, (_, i) => Math.sin(i));
  const feeds = {
    x: floats(x.shape, numbers(16 * 16 * 64)),
    w: floats(w.shape, new Float32Array(256)),
    bias: floats([16], numbers(16)),
    dy: floats(dy.shape, numbers(16 * 16 * 16)),
  };
  const executors = [createReferenceExecutor(), await createOnnxExecutor({ threads: 1 })];
  const [expected, actual] = await Promise.all(
    executors.map(async (executor) => {
      await using executable = await executor.compile(graph);
      return floatData((await executable.run(feeds)).dbias!);
    }),
  );
  actual!.forEach((value, i) => {
    expect(value).toBeCloseTo(expected![i]!, 4);
  });
});
