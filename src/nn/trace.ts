import { PipelineError } from "../base/errors.ts";
import { input } from "../graph/build.ts";
import type { Value } from "../graph/value.ts";
import type { Named } from "../tensor/tensor.ts";
import type { ForwardContext, Mode, Module, NormStatistics } from "./module.ts";

/** The graph of one forward pass with everything that it reads and leaves behind. */
export interface Trace {
  readonly output: Value;
  readonly parameters: Named<Value<"input">>;
  readonly buffers: Named<Value<"input">>;
  /** Value of every buffer after the run; the buffer itself where the pass does not change it. */
  readonly nextBuffers: Named<Value>;
  /** Inputs to feed with uniform numbers in [0, 1). */
  readonly uniforms: readonly Value<"input">[];
}

/** Builds the graph of `module` on x; parameters and buffers become float32 graph inputs of their names. */
export function trace(module: Module, x: Value, mode: Mode, statistics: NormStatistics = "batch"): Trace {
  const inputsOf = (specs: readonly { name: string; shape: readonly number[] }[]): Map<string, Value<"input">> =>
    new Map(specs.map(({ name, shape }) => [name, input(name, "float32", shape)]));
  const parameters = inputsOf(module.parameters);
  const buffers = inputsOf(module.buffers);
  const nextBuffers = new Map<string, Value>(buffers);
  const uniforms: Value<"input">[] = [];
  const find = (map: ReadonlyMap<string, Value>, name: string, what: string): Value => {
    const value = map.get(name);
    if (value === undefined) throw new PipelineError("GRAPH_INVALID", `the module declares no ${what} ${name}`);
    return value;
  };
  const context: ForwardContext = {
    mode,
    statistics,
    parameter: (name) => find(parameters, name, "parameter"),
    buffer: (name) => find(buffers, name, "buffer"),
    updateBuffer(name, next) {
      find(buffers, name, "buffer");
      nextBuffers.set(name, next);
    },
    uniforms(name, shape) {
      const value = input(`uniforms/${name}`, "float32", shape);
      uniforms.push(value);
      return value;
    },
  };
  const output = module.forward(x, context);
  return {
    output,
    parameters: Object.fromEntries(parameters),
    buffers: Object.fromEntries(buffers),
    nextBuffers: Object.fromEntries(nextBuffers),
    uniforms,
  };
}
