import { PipelineError } from "../../base/errors.ts";
import { apply, broadcastTo, constant } from "../../graph/build.ts";
import { countUses, defineGraph, type Graph } from "../../graph/graph.ts";
import { batchedValues } from "../../graph/passes/batched.ts";
import { substitute } from "../../graph/passes/substitute.ts";
import { isOp, type Value } from "../../graph/value.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { floatData, type Named, type Tensor } from "../../tensor/tensor.ts";
import { createReferenceExecutor } from "../reference/executor.ts";

/**
 * The graph as it is served: what depends on weights alone is computed, and batch norm stands before a pooling, next to its
 * convolution. It has no variables left.
 * @param weights values of all variables of the graph
 * @throws GRAPH_INVALID when a constant differs from sample to sample of the batch
 */
export async function foldWeights(graph: Graph, weights: Named<Tensor>): Promise<Graph> {
  const { name, inputs, outputs } = affineBeforePooling(await foldConstants(graph, weights));
  return defineGraph({ name, inputs: Object.values(inputs), outputs });
}

/**
 * Computes every value that depends on weights and constants alone. One that stands for a whole batch is kept as its
 * one sample, repeated.
 */
async function foldConstants(graph: Graph, weights: Named<Tensor>): Promise<Graph> {
  const batched = batchedValues(graph);
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
  // What is repeated over the batch stays so: ONNX broadcasts it by itself, whatever the batch.
  for (const value of frontier) {
    if (isOp(value, "broadcast") && batched.has(value) && value.attrs.axes[0] !== 0) {
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
  const constants = new Map(
    values.map((value, i) => {
      const result = results[`${i}`]!;
      return [value, batched.has(value) ? repeated(result, graph.name) : constant(result)];
    }),
  );
  return substitute(graph, (value) => constants.get(value));
}

/** The one sample that a known batch repeats, as a broadcast. */
function repeated({ dtype, shape, data }: Tensor, graph: string): Value {
  const sample = shape.slice(1);
  const size = sizeOf(sample);
  if (data.some((element, i) => element !== data[i % size])) {
    throw new PipelineError("GRAPH_INVALID", `graph ${graph}: a constant [${shape}] differs from sample to sample`, {
      remedy: "make it an input, or the same for every sample of the batch",
    });
  }
  const first = constant({ dtype, shape: sample, data: data.slice(0, size) } as Tensor);
  return broadcastTo(
    first,
    shape,
    sample.map((_, i) => i + 1),
  );
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
