import { apply, cast } from "../build.ts";
import type { Graph } from "../graph.ts";
import { isOp, type Value } from "../value.ts";
import { substitute } from "./substitute.ts";

/** The operations that carry nearly all arithmetic and accumulate in float32 on devices with half precision. */
const halfOps = ["conv2d", "conv2dInputGrad", "conv2dWeightGrad", "matmul"] as const;

const mayBeHalf = (value: Value): boolean =>
  halfOps.some((op) => isOp(value, op) && value.attrs.precision !== "float32") && value.dtype === "float32";

/**
 * Mixed precision (Micikevicius et al. 2018): convolutions and matrix products, forward and backward, take float16
 * operands unless they carry `precision: "float32"`, as statistics and updates do; everything else stays float32, and so
 * does all that no weight has a part in: places and colours of augmented images need the digits.
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
    mayBeHalf(value) && weighted.has(value)
      ? cast(apply(value.op, operands.map(half), value.attrs), "float32")
      : undefined,
  );
}
