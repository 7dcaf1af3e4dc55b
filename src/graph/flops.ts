import { sizeOf } from "../tensor/shape.ts";
import type { Graph } from "./graph.ts";
import type { OpName } from "./ops.ts";
import { isOp, type Value } from "./value.ts";

/** Floating-point operations of one run, a multiplication and an addition counted as two. */
export interface FlopCount {
  readonly total: number;
  readonly byOp: Readonly<Partial<Record<OpName, number>>>;
}

/** Counts the convolutions (with their gradients) and matrix products of a graph; the rest is small beside them. */
export function countFlops(graph: Pick<Graph, "values">): FlopCount {
  const byOp: Partial<Record<OpName, number>> = {};
  let total = 0;
  for (const value of graph.values) {
    const flops = flopsOf(value);
    if (flops === 0) continue;
    byOp[value.op] = (byOp[value.op] ?? 0) + flops;
    total += flops;
  }
  return { total, byOp };
}

function flopsOf(value: Value): number {
  if (isOp(value, "conv2d")) return convFlops(value.shape, value.operands[1]!.shape);
  // dx from (dy, w) and dw from (x, dy): as many products as the forward pass.
  if (isOp(value, "conv2dInputGrad")) return convFlops(value.operands[0]!.shape, value.operands[1]!.shape);
  if (isOp(value, "conv2dWeightGrad")) return convFlops(value.operands[1]!.shape, value.attrs.weightShape);
  if (isOp(value, "matmul")) {
    const a = value.operands[0]!.shape;
    const inner = value.attrs.transA ? a[a.length - 2]! : a[a.length - 1]!;
    return 2 * sizeOf(value.shape) * inner;
  }
  return 0;
}

/** 2 * N * O * OH * OW * (I / groups) * kh * kw, from the shapes of output and weight. */
function convFlops(output: readonly number[], weight: readonly number[]): number {
  return 2 * sizeOf(output) * sizeOf(weight.slice(1));
}
