import { PipelineError } from "../base/errors.ts";
import { sameShape } from "../tensor/shape.ts";
import type { Named } from "../tensor/tensor.ts";
import { isOp, type Value } from "./value.ts";

/** A piece of state that lives across runs: read as `current`, replaced by `next` after each run. */
export interface Variable {
  readonly current: Value<"input">;
  readonly next: Value;
  /** Name of the variable whose memory layout this one shares (an optimiser slot names its parameter). */
  readonly layoutLike?: string;
}

/** A program: values fed on each run, state kept between runs, values returned. */
export interface Graph {
  readonly name: string;
  readonly inputs: Named<Value<"input">>;
  readonly variables: Named<Variable>;
  readonly outputs: Named<Value>;
  /** Every value that an output or a variable needs, operands before users. */
  readonly values: readonly Value[];
}

export interface GraphDefinition {
  readonly name: string;
  readonly inputs: readonly Value<"input">[];
  readonly variables?: Named<Variable>;
  readonly outputs: Named<Value>;
}

/**
 * Collects what the outputs need and checks that every input that is reached is declared.
 * @throws GRAPH_INVALID
 */
export function defineGraph({ name, inputs, variables = {}, outputs }: GraphDefinition): Graph {
  const named: Record<string, Value<"input">> = {};
  for (const value of inputs) {
    if (named[value.attrs.name] !== undefined) {
      throw new PipelineError("GRAPH_INVALID", `graph ${name}: two inputs are called ${value.attrs.name}`);
    }
    named[value.attrs.name] = value;
  }
  for (const [key, variable] of Object.entries(variables)) {
    const { current, next } = variable;
    if (named[key] !== undefined || current.attrs.name !== key) {
      throw new PipelineError("GRAPH_INVALID", `graph ${name}: variable ${key} is misnamed or clashes with an input`);
    }
    if (current.dtype !== next.dtype || !sameShape(current.shape, next.shape)) {
      throw new PipelineError(
        "GRAPH_INVALID",
        `graph ${name}: variable ${key} changes from ${current.dtype}[${current.shape}] to ${next.dtype}[${next.shape}]`,
      );
    }
  }
  const graph = { name, inputs: named, variables, outputs };
  const values = topologicalOrder(rootsOf(graph));
  const declared = new Set<Value>([...inputs, ...Object.values(variables).map(({ current }) => current)]);
  for (const value of values) {
    if (isOp(value, "input") && !declared.has(value)) {
      throw new PipelineError("GRAPH_INVALID", `graph ${name}: input ${value.attrs.name} is used but not declared`);
    }
  }
  return { ...graph, values };
}

/** The values that a graph must compute: outputs, then next states. */
export function rootsOf(graph: Pick<Graph, "outputs" | "variables">): Value[] {
  return [...Object.values(graph.outputs), ...Object.values(graph.variables).map((variable) => variable.next)];
}

/** Depth-first post-order without recursion: operands stand before their users. */
export function topologicalOrder(roots: readonly Value[]): Value[] {
  const order: Value[] = [];
  const state = new Map<Value, "open" | "done">();
  for (const root of roots) {
    const stack: Value[] = [root];
    while (stack.length > 0) {
      const value = stack[stack.length - 1]!;
      const seen = state.get(value);
      if (seen === undefined) {
        state.set(value, "open");
        for (let i = value.operands.length - 1; i >= 0; i--) {
          const operand = value.operands[i]!;
          if (!state.has(operand)) stack.push(operand);
        }
        continue;
      }
      stack.pop();
      if (seen === "open") {
        state.set(value, "done");
        order.push(value);
      }
    }
  }
  return order;
}

/** How often each value is used by other values, by outputs and by variables. */
export function countUses(graph: Graph): Map<Value, number> {
  const uses = new Map<Value, number>();
  const use = (value: Value): void => void uses.set(value, (uses.get(value) ?? 0) + 1);
  for (const value of graph.values) value.operands.forEach(use);
  rootsOf(graph).forEach(use);
  return uses;
}
