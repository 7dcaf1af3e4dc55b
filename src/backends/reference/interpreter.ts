import { mustGet } from "../../base/assert.ts";
import type { Graph } from "../../graph/graph.ts";
import type { OpName } from "../../graph/ops.ts";
import { isOp, type Value } from "../../graph/value.ts";
import type { Named } from "../../tensor/tensor.ts";
import { type Precision, type ReferenceArray, roundTo } from "./array.ts";
import type { Evaluator } from "./evaluator.ts";
import { evaluators } from "./evaluators.ts";

export interface Interpretation {
  readonly outputs: Record<string, ReferenceArray>;
  /** The next value of each variable. */
  readonly next: Record<string, ReferenceArray>;
}

/**
 * Evaluates a graph value by value. `bindings` holds the inputs and the current variables by name, in double precision,
 * so that finite differences can be taken finer than float32.
 */
export function interpret(graph: Graph, bindings: Named<ReferenceArray>, precision: Precision): Interpretation {
  const bound = new Map(Object.entries(bindings));
  const computed = new Map<Value, ReferenceArray>();
  const lookUp = (value: Value): ReferenceArray => mustGet(computed, value, "value");
  for (const value of graph.values) {
    computed.set(value, evaluate(value, value.operands.map(lookUp), bound, precision));
  }
  const named = (values: readonly (readonly [string, Value])[]): Record<string, ReferenceArray> =>
    Object.fromEntries(values.map(([name, value]) => [name, lookUp(value)]));
  return {
    outputs: named(Object.entries(graph.outputs)),
    next: named(Object.entries(graph.variables).map(([name, variable]) => [name, variable.next])),
  };
}

function evaluate(
  value: Value,
  operands: readonly ReferenceArray[],
  bound: ReadonlyMap<string, ReferenceArray>,
  precision: Precision,
): ReferenceArray {
  if (isOp(value, "input")) return mustGet(bound, value.attrs.name, "binding");
  const evaluator = evaluators[value.op as Exclude<OpName, "input">] as Evaluator<OpName>;
  return { shape: value.shape, data: roundTo(value.dtype, evaluator(value, operands), precision) };
}
