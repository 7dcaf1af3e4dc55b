import { PipelineError } from "../base/errors.ts";
import { add, constant, filled } from "../graph/build.ts";
import { topologicalOrder } from "../graph/graph.ts";
import type { OpName } from "../graph/ops.ts";
import { setLayer, type Value } from "../graph/value.ts";
import { scalar } from "../tensor/tensor.ts";
import { vjpRules } from "./vjp-rules.ts";

/**
 * Reverse-mode gradient of a scalar with respect to values, each of the shape of its value (zeros where the scalar does
 * not depend on it).
 * @throws NOT_DIFFERENTIABLE when the way from the scalar to one of the values leads through an operation without a rule
 */
export function gradients(of: Value, wrt: readonly Value[]): Value[] {
  if (of.shape.length !== 0) {
    throw new PipelineError("SHAPE_MISMATCH", `gradients: needs a scalar, got shape [${of.shape}]`, {
      remedy: "reduce it first",
    });
  }
  const order = topologicalOrder([of]);
  const needed = dependents(order, wrt);
  const known = new Set(order);
  const cotangents = new Map<Value, Value>([[of, constant(scalar(1))]]);
  for (const value of order.toReversed()) {
    const cotangent = cotangents.get(value);
    if (cotangent === undefined || !needed.has(value) || value.operands.length === 0) continue;
    const rule = vjpRules[value.op];
    if (rule === "nondifferentiable") {
      throw new PipelineError("NOT_DIFFERENTIABLE", `gradients: ${value.op} has no gradient`, {
        remedy: "put a stopGradient before it, or keep it outside the differentiated part",
      });
    }
    const contributions = (rule as (value: Value<OpName>, cotangent: Value) => readonly (Value | null)[])(
      value,
      cotangent,
    );
    for (const [i, contribution] of contributions.entries()) {
      const operand = value.operands[i]!;
      if (contribution === null || !needed.has(operand)) continue;
      setLayer(contribution, value.layer, known);
      const sum = cotangents.get(operand);
      cotangents.set(operand, sum === undefined ? contribution : add(sum, contribution));
    }
  }
  return wrt.map((value) => cotangents.get(value) ?? filled(value.shape, 0));
}

/** The values of `order` that depend on one of `wrt`. */
function dependents(order: readonly Value[], wrt: readonly Value[]): Set<Value> {
  const needed = new Set<Value>(wrt);
  for (const value of order) {
    if (value.operands.some((operand) => needed.has(operand))) needed.add(value);
  }
  return needed;
}
