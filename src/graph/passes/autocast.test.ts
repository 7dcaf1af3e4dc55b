import { describe, expect, it } from "vitest";
import { createReferenceExecutor } from "../../backends/reference/executor.ts";
import { floatData, floats } from "../../tensor/tensor.ts";
import { conv2d, input, matmul, reduceSum, shift } from "../build.ts";
import { defineGraph } from "../graph.ts";
import { verifyGraph } from "../verify.ts";
import { autocast } from "./autocast.ts";

describe("autocast", () => {
  const x = input("x", "float32", [2, 3, 5, 5]);
  const w = input("w", "float32", [4, 3, 3, 3]);
  const head = input("head", "float32", [4, 6]);
  const logits = matmul(reduceSum(conv2d(x, w, { padding: 1 }), [2, 3]), head);
  const graph = defineGraph({
    name: "half",
    inputs: [x],
    variables: { w: { current: w, next: shift(w, 1) }, head: { current: head, next: head } },
    outputs: { logits },
  });
  const values = (count: number): Float32Array =>
    Float32Array.from({ length: count }, (_, i) => Math.sin(1 + i * 0.37) / 3);

  it("computes convolutions and products in half precision and keeps the rest", () => {
    const mixed = autocast(graph);
    verifyGraph(mixed);
    const dtypes = mixed.values.filter(({ op }) => op === "conv2d" || op === "matmul").map(({ dtype }) => dtype);
    expect(dtypes).toEqual(["float16", "float16"]);
    expect(mixed.outputs.logits!.dtype).toBe("float32");
    expect(mixed.variables.w!.next.dtype).toBe("float32");
    expect(mixed.values.find(({ op }) => op === "reduceSum")!.dtype).toBe("float32");
  });

  it("stays within half precision's error and is not the same", async () => {
    const results = await Promise.all(
      [graph, autocast(graph)].map(async (program) => {
        await using executable = await createReferenceExecutor().compile(program);
        executable.writeState({ w: floats([4, 3, 3, 3], values(108)), head: floats([4, 6], values(24)) });
        return floatData((await executable.run({ x: floats([2, 3, 5, 5], values(150)) })).logits!);
      }),
    );
    const [full, mixed] = results as [Float32Array, Float32Array];
    const largest = Math.max(...full.map(Math.abs));
    const error = Math.max(...full.map((value, i) => Math.abs(value - mixed[i]!))) / largest;
    expect(error).toBeGreaterThan(1e-6);
    expect(error).toBeLessThan(2e-3);
  });
});
