import { add } from "../graph/build.ts";
import type { Value } from "../graph/value.ts";
import type { Shape } from "../tensor/shape.ts";
import type { BufferSpec, ParameterSpec } from "./parameter.ts";

export type Mode = "train" | "eval";

/**
 * What batch norm normalises by in training: the batch, its running statistics, which then stay as they are, or the
 * batches of so many processes together.
 */
export type NormStatistics = "batch" | "running" | { readonly processes: number };

/** What a module sees while it builds its part of a graph. */
export interface ForwardContext {
  readonly mode: Mode;
  readonly statistics: NormStatistics;
  parameter(name: string): Value;
  buffer(name: string): Value;
  /** Sets the value that a buffer has after the run. */
  updateBuffer(name: string, next: Value): void;
  /** An input fed with uniform numbers in [0, 1) at each run, for dropout. */
  uniforms(name: string, shape: Shape): Value;
}

/** A part of a network: its parameters and buffers, and a pure builder of its graph. */
export interface Module {
  readonly parameters: readonly ParameterSpec[];
  readonly buffers: readonly BufferSpec[];
  forward(x: Value, ctx: ForwardContext): Value;
}

/** A module without parameters. */
export function pure(forward: (x: Value, ctx: ForwardContext) => Value): Module {
  return { parameters: [], buffers: [], forward };
}

/** One after the other. */
export function sequential(...modules: readonly Module[]): Module {
  return {
    parameters: modules.flatMap((module) => module.parameters),
    buffers: modules.flatMap((module) => module.buffers),
    forward: (x, ctx) => modules.reduce((value, module) => module.forward(value, ctx), x),
  };
}

/** x + branch(x). */
export function residual(branch: Module): Module {
  return { ...branch, forward: (x, ctx) => add(x, branch.forward(x, ctx)) };
}

/** The sum of what each branch makes of the same x. */
export function sumOf(...branches: readonly Module[]): Module {
  return {
    ...sequential(...branches),
    forward: (x, ctx) => branches.map((branch) => branch.forward(x, ctx)).reduce(add),
  };
}

/** Not trained: works as in evaluation, so without dropout and by its running statistics, which stay as they are. */
export function frozen(module: Module): Module {
  return {
    parameters: module.parameters.map((parameter) => ({ ...parameter, trainable: false })),
    buffers: module.buffers,
    forward: (x, ctx) => module.forward(x, { ...ctx, mode: "eval" }),
  };
}
