import { PipelineError } from "../base/errors.ts";
import { sameShape } from "../tensor/shape.ts";
import type { Named, Tensor } from "../tensor/tensor.ts";
import type { Graph } from "./graph.ts";

type Typed = Pick<Tensor, "dtype" | "shape">;

/**
 * What every executor asks of the feeds of a run: all inputs of the graph, also those that nothing reads, and no other.
 * @throws INVALID_ARGUMENT for an unknown or a missing input, SHAPE_MISMATCH for another type or shape
 */
export function checkFeeds({ name: graph, inputs }: Graph, feeds: Named<Tensor>): void {
  for (const name of Object.keys(feeds)) {
    if (inputs[name] !== undefined) continue;
    throw new PipelineError("INVALID_ARGUMENT", `graph ${graph} has no input ${name}`, {
      remedy: `feed only ${Object.keys(inputs).join(", ")}`,
    });
  }
  for (const [name, input] of Object.entries(inputs)) {
    const fed = feeds[name];
    if (fed === undefined) throw new PipelineError("INVALID_ARGUMENT", `graph ${graph}: input ${name} is not fed`);
    if (fits(input, fed)) continue;
    throw new PipelineError("SHAPE_MISMATCH", `graph ${graph}: input ${name} is ${typeOf(input)}, got ${typeOf(fed)}`);
  }
}

/** What every executor asks of values for variables, before it writes any. @throws STATE_MISMATCH */
export function checkState({ name: graph, variables }: Graph, values: Named<Tensor>): void {
  for (const [name, value] of Object.entries(values)) {
    const current = variables[name]?.current;
    if (current === undefined) throw stateMismatch(graph, `there is no variable ${name}`);
    if (!fits(current, value)) throw stateMismatch(graph, `${name} is ${typeOf(current)}, got ${typeOf(value)}`);
  }
}

/** The state behind a variable. @throws STATE_MISMATCH where nothing was written */
export function requireWritten<T>({ name: graph, variables }: Graph, name: string, held: T | undefined): T {
  const current = variables[name]?.current;
  if (current === undefined) throw stateMismatch(graph, `there is no variable ${name}`);
  if (held === undefined) throw stateMismatch(graph, `variable ${name}, ${typeOf(current)}, was never written`);
  return held;
}

function fits(a: Typed, b: Typed): boolean {
  return a.dtype === b.dtype && sameShape(a.shape, b.shape);
}

function typeOf({ dtype, shape }: Typed): string {
  return `${dtype}[${shape}]`;
}

function stateMismatch(graph: string, why: string): PipelineError {
  return new PipelineError("STATE_MISMATCH", `graph ${graph}: ${why}`);
}
