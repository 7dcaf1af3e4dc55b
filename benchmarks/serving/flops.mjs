import { availableParallelism } from "node:os";
import { createOnnxExecutor } from "../../dist/backends/onnx/executor.js";
import { input, matmul } from "../../dist/graph/build.js";
import { countFlops } from "../../dist/graph/flops.js";
import { defineGraph } from "../../dist/graph/graph.js";
import { buildInferenceGraph, parameterCount } from "../../dist/models/model.js";
import { models } from "../../dist/models/registry.js";
import { floats } from "../../dist/tensor/tensor.js";

/** Floating-point operations of one image through the network of a bundle, however they are computed. */
export function forwardFlops({ model: { architecture, parameterCount: known }, classes, preprocessing }) {
  const { height, width } = preprocessing;
  const model = models[architecture].build({ classes: classes.length, height, width });
  const found = parameterCount(model);
  if (found !== known) throw new Error(`the bundle's ${architecture} has ${known} parameters, not ${found}`);
  return countFlops(buildInferenceGraph(model, { batch: 1 })).total;
}

/** GFLOP/s of a large product of matrices on all cores: what this machine can do. */
export async function matmulRate(size = 1024, turns = 12) {
  const [a, b] = ["a", "b"].map((name) => input(name, "float32", [size, size]));
  const graph = defineGraph({ name: "matmul", inputs: [a, b], variables: {}, outputs: { product: matmul(a, b) } });
  const executor = await createOnnxExecutor({ threads: availableParallelism() });
  const product = await executor.compile(graph);
  const values = floats(
    [size, size],
    Float32Array.from({ length: size * size }, (_, i) => Math.sin(i)),
  );
  let fastest = Number.POSITIVE_INFINITY;
  try {
    for (let turn = 0; turn < turns; turn++) {
      const began = performance.now();
      await product.run({ a: values, b: values });
      fastest = Math.min(fastest, performance.now() - began);
    }
  } finally {
    await product[Symbol.asyncDispose]();
  }
  return (2 * size ** 3) / fastest / 1e6;
}
