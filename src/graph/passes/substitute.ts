import { defineGraph, type Graph, type Variable } from "../graph.ts";
import { setLayer, type Value } from "../value.ts";

/**
 * The graph with some values replaced: `replace` sees each value with its operands already replaced and gives what
 * stands in its place, or undefined to keep it. A variable whose current value is replaced is no variable any more.
 */
export function substitute(
  graph: Graph,
  replace: (original: Value, operands: readonly Value[]) => Value | undefined,
): Graph {
  const replaced = new Map<Value, Value>();
  const known = new Set(graph.values);
  for (const value of graph.values) {
    const operands = value.operands.map((operand) => replaced.get(operand)!);
    const same = operands.every((operand, i) => operand === value.operands[i]);
    const replacement = replace(value, operands);
    if (replacement !== undefined) setLayer(replacement, value.layer, known);
    const kept = replacement ?? (same ? value : { ...value, operands });
    replaced.set(value, kept);
    known.add(kept);
  }
  const of = (value: Value): Value => replaced.get(value) ?? value;
  const variables: Record<string, Variable> = {};
  for (const [name, variable] of Object.entries(graph.variables)) {
    if (of(variable.current) === variable.current) variables[name] = { ...variable, next: of(variable.next) };
  }
  const outputs = Object.fromEntries(Object.entries(graph.outputs).map(([name, value]) => [name, of(value)]));
  return defineGraph({ name: graph.name, inputs: Object.values(graph.inputs), variables, outputs });
}
