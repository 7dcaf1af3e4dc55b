import type { Named } from "../../tensor/tensor.ts";
import { defineGraph, type Graph } from "../graph.ts";
import type { Value } from "../value.ts";

/**
 * The graph with some values replaced: `replace` sees each value with its operands already replaced and gives what
 * stands in its place, or undefined to keep it. Replaced variables disappear from the result.
 */
export function substitute(
  graph: Graph,
  replace: (original: Value, operands: readonly Value[]) => Value | undefined,
): { readonly graph: Graph; readonly of: (value: Value) => Value } {
  const replaced = new Map<Value, Value>();
  for (const value of graph.values) {
    const operands = value.operands.map((operand) => replaced.get(operand)!);
    const same = operands.every((operand, i) => operand === value.operands[i]);
    replaced.set(value, replace(value, operands) ?? (same ? value : { ...value, operands }));
  }
  const of = (value: Value): Value => replaced.get(value) ?? value;
  const outputs: Named<Value> = Object.fromEntries(
    Object.entries(graph.outputs).map(([name, value]) => [name, of(value)]),
  );
  return { graph: defineGraph({ name: graph.name, inputs: Object.values(graph.inputs), outputs }), of };
}
