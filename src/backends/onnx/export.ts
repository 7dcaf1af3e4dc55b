import type { Graph } from "../../graph/graph.ts";
import { batchedValues } from "../../graph/passes/batched.ts";
import type { Value } from "../../graph/value.ts";
import type { Named, Tensor } from "../../tensor/tensor.ts";
import { foldWeights } from "./fold-weights.ts";
import { loweringRules } from "./lower/rules.ts";
import { Lowering } from "./lowering.ts";
import { ModelWriter } from "./model-writer.ts";

/**
 * An inference graph with its weights as an ONNX file of standard operators: what depends on weights alone is computed
 * now, batch norm becomes part of the convolutions, and the batch, the first dimension of inputs and outputs, is free.
 * @param weights values of all variables of the graph
 * @throws GRAPH_INVALID when a result depends on other samples of the batch
 */
export async function exportInferenceModel(graph: Graph, weights: Named<Tensor>): Promise<Uint8Array> {
  const folded = await foldWeights(graph, weights);
  const batched = batchedValues(folded);
  const writer = new ModelWriter(graph.name);
  const lowering = new Lowering(folded, { writer, rules: loweringRules, block: 0, portable: true, batched });
  return written(lowering, (value) => value.shape.map((dim, i) => (i === 0 && batched.has(value) ? "batch" : dim)));
}

/**
 * The same for one size of batch on this machine alone: with onnxruntime's blocked kernels of `block` channels and the
 * filters as these want them. It stays in memory: another processor or version of onnxruntime reads it differently.
 * @param folded without variables
 */
export function lowerForMachine(folded: Graph, block: number): Uint8Array {
  const writer = new ModelWriter(folded.name);
  const lowering = new Lowering(folded, { writer, rules: loweringRules, block });
  return written(lowering, (value) => value.shape);
}

/** The whole model: its inputs, every value that is needed, its outputs. */
export function written(lowering: Lowering, shapeOf: (value: Value) => readonly (number | string)[]): Uint8Array {
  const { graph, writer } = lowering;
  for (const [name, value] of Object.entries(graph.inputs)) {
    writer.input(name, value.dtype, shapeOf(value));
    lowering.define(value, { name, layout: "plain" });
  }
  lowering.run();
  for (const [name, value] of Object.entries(graph.outputs)) {
    writer.alias(lowering.plain(value), name);
    writer.output(name, value.dtype, shapeOf(value));
  }
  return writer.finish();
}
