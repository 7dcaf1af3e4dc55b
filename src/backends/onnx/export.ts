import { PipelineError } from "../../base/errors.ts";
import { apply, constant } from "../../graph/build.ts";
import { countUses, defineGraph, type Graph } from "../../graph/graph.ts";
import { substitute } from "../../graph/passes/substitute.ts";
import { isOp, type Value } from "../../graph/value.ts";
import { floatData, type Named, type Tensor } from "../../tensor/tensor.ts";
import { createReferenceExecutor } from "../reference/executor.ts";
import { loweringRules } from "./lower/rules.ts";
import { Lowering } from "./lowering.ts";
import { ModelWriter } from "./model-writer.ts";

/**
 * An inference graph with its weights as an ONNX file of standard operators: what depends on weights alone is computed
 * now, batch norm becomes part of the convolutions, and the batch, the first dimension of inputs and outputs, is free.
 * @param weights values of all variables of the graph
 */
export async function exportInferenceModel(graph: Graph, weights: Named<Tensor>): Promise<Uint8Array> {
  const batch = Object.values(graph.inputs)[0]?.shape[0];
  if (batch === undefined || batch < 2) {
    throw new PipelineError("INVALID_ARGUMENT", `cannot tell the batch dimension of graph ${graph.name} apart`, {
      remedy: "build it for a batch of at least 2",
    });
  }
  const folded = affineBeforePooling(await foldConstants(graph, weights));
  const writer = new ModelWriter(graph.name);
  const lowering = new Lowering(folded, { writer, rules: loweringRules, block: 0, portable: true, freeBatch: batch });
  const free = (value: Value): (number | string)[] => value.shape.map((dim, i) => (i === 0 ? "batch" : dim));
  for (const [name, value] of Object.entries(folded.inputs)) {
    writer.input(name, value.dtype, free(value));
    lowering.define(value, { name, layout: "plain" });
  }
  lowering.run();
  for (const [name, value] of Object.entries(folded.outputs)) {
    writer.alias(lowering.plain(value), name);
    writer.output(name, value.dtype, free(value));
  }
  return writer.finish();
}

/** Computes every value that depends on weights and constants alone. */
async function foldConstants(graph: Graph, weights: Named<Tensor>): Promise<Graph> {
  const known = new Set<Value>(Object.values(graph.variables).map((variable) => variable.current));
  for (const value of graph.values) {
    const leaf = isOp(value, "constant") || known.has(value);
    if (leaf || (value.operands.length > 0 && value.operands.every((operand) => known.has(operand)))) known.add(value);
  }
  const frontier = new Set<Value>(Object.values(graph.outputs).filter((value) => known.has(value)));
  for (const value of graph.values) {
    if (known.has(value)) continue;
    for (const operand of value.operands) if (known.has(operand)) frontier.add(operand);
  }
  // A repeated scalar stays symbolic: ONNX broadcasts it by itself, whatever the batch.
  for (const value of frontier) {
    if (isOp(value, "broadcast")) {
      frontier.delete(value);
      frontier.add(value.operands[0]!);
    }
  }
  const values = [...frontier];
  const part = defineGraph({
    name: `${graph.name}-constants`,
    inputs: [],
    variables: Object.fromEntries(
      Object.entries(graph.variables).map(([name, { current }]) => [name, { current, next: current }]),
    ),
    outputs: Object.fromEntries(values.map((value, i) => [`${i}`, value])),
  });
  await using executable = await createReferenceExecutor().compile(part);
  executable.writeState(weights);
  const results = await executable.run({});
  const constants = new Map(values.map((value, i) => [value, constant(results[`${i}`]!)]));
  return substitute(graph, (value) => constants.get(value));
}

/** A maximum commutes with an affine map of positive scale: moved before the pooling, it joins the convolution. */
function affineBeforePooling(graph: Graph): Graph {
  const uses = countUses(graph);
  return substitute(graph, (value, operands) => {
    const [pooled, scale, bias] = operands;
    if (!isOp(value, "channelAffine") || pooled === undefined || !isOp(pooled, "maxPool2d")) return undefined;
    if (uses.get(value.operands[0]!) !== 1 || !isOp(scale!, "constant") || scale.shape.length !== 1) return undefined;
    if (floatData(scale.attrs.tensor).some((factor) => factor <= 0)) return undefined;
    const affine = apply("channelAffine", [pooled.operands[0]!, scale, bias!], {});
    return apply("maxPool2d", [affine], pooled.attrs);
  });
}
