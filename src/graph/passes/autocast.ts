import { apply, cast } from "../build.ts";
import type { Graph } from "../graph.ts";
import type { OpName } from "../ops.ts";
import type { Value } from "../value.ts";
import { substitute } from "./substitute.ts";

/** The operations that carry nearly all arithmetic and accumulate in float32 on devices with half precision. */
const halfOps: ReadonlySet<OpName> = new Set(["conv2d", "conv2dInputGrad", "conv2dWeightGrad", "matmul"]);

/**
 * Mixed precision (Micikevicius et al. 2018): convolutions and matrix products, forward and backward, take float16
 * operands; weights, statistics, losses and updates stay float32, and so does all that no weight has a part in: places
 * and colours of augmented images need the digits.
 */
export function autocast(graph: Graph): Graph {
  const weighted = new Set<Value>(Object.values(graph.variables).map(({ current }) => current));
  for (const value of graph.values) if (value.operands.some((operand) => weighted.has(operand))) weighted.add(value);
  const halves = new Map<Value, Value>();
  const half = (value: Value): Value => {
    const known = halves.get(value) ?? cast(value, "float16");
    halves.set(value, known);
    return known;
  };
  return substitute(graph, (value, operands) =>
    halfOps.has(value.op) && value.dtype === "float32" && weighted.has(value)
      ? cast(apply(value.op, operands.map(half), value.attrs), "float32")
      : undefined,
  );
}
