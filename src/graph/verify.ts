import { PipelineError } from "../base/errors.ts";
import { sameShape } from "../tensor/shape.ts";
import type { Graph } from "./graph.ts";
import { inferType } from "./infer.ts";
import { isOp, type Value } from "./value.ts";

/**
 * Checks a graph: every operand is computed before its user, every reached input is declared as an input or a variable,
 * every value has the type that its operation gives. Run after each pass.
 * @throws GRAPH_INVALID
 */
export function verifyGraph(graph: Graph): void {
  const declared = new Set<Value>([
    ...Object.values(graph.inputs),
    ...Object.values(graph.variables).map((variable) => variable.current),
  ]);
  const known = new Set<Value>();
  for (const value of graph.values) {
    if (isOp(value, "input") && !declared.has(value)) {
      throw new PipelineError(
        "GRAPH_INVALID",
        `graph ${graph.name}: input ${value.attrs.name} is used but not declared`,
      );
    }
    for (const operand of value.operands) {
      if (!known.has(operand)) {
        throw new PipelineError(
          "GRAPH_INVALID",
          `graph ${graph.name}: ${value.op} stands before its operand ${operand.op}`,
        );
      }
    }
    const type = inferType(value.op, value.operands, value.attrs);
    if (type.dtype !== value.dtype || !sameShape(type.shape, value.shape)) {
      throw new PipelineError(
        "GRAPH_INVALID",
        `graph ${graph.name}: ${value.op} is ${value.dtype}[${value.shape}] but computes ${type.dtype}[${type.shape}]`,
      );
    }
    known.add(value);
  }
  for (const [name, value] of Object.entries(graph.outputs)) {
    if (!known.has(value))
      throw new PipelineError("GRAPH_INVALID", `graph ${graph.name}: output ${name} is not computed`);
  }
  for (const [name, { next }] of Object.entries(graph.variables)) {
    if (!known.has(next))
      throw new PipelineError("GRAPH_INVALID", `graph ${graph.name}: next value of ${name} is not computed`);
  }
}
