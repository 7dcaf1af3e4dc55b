import { checkFeeds, checkState, requireWritten } from "../../graph/check-tensors.ts";
import type { Executable, Executor } from "../../graph/executor.ts";
import type { Graph, Variable } from "../../graph/graph.ts";
import type { Value } from "../../graph/value.ts";
import { fromTensor, type Precision, type ReferenceArray, toTensor } from "./array.ts";
import { interpret } from "./interpreter.ts";

export interface ReferenceExecutorOptions {
  /** "float64" keeps values and state in double precision between operations and runs. Default: "float32". */
  readonly precision?: Precision;
}

/**
 * A slow, obvious interpreter: the oracle that other executors are tested against. Sums are accumulated in double
 * precision.
 */
export function createReferenceExecutor({ precision = "float32" }: ReferenceExecutorOptions = {}): Executor {
  return {
    device: `reference interpreter (${precision})`,
    mixedPrecision: false,
    compile: async (graph, sharing) => createReferenceExecutable(graph, precision, sharing),
  };
}

type State = Record<string, ReferenceArray>;

/** The variables behind each executable. */
const states = new WeakMap<Executable, State>();

function createReferenceExecutable(graph: Graph, precision: Precision, sharing: Executable | undefined): Executable {
  const state: State = (sharing === undefined ? undefined : states.get(sharing)) ?? {};
  const read = new Set<Value>(graph.values);
  const isRead = ([, { current }]: [string, Variable]) => read.has(current);
  const executable: Executable = {
    async run(feeds) {
      checkFeeds(graph, feeds);
      const bindings: Record<string, ReferenceArray> = {};
      for (const [name, fed] of Object.entries(feeds)) bindings[name] = fromTensor(fed);
      for (const [name] of Object.entries(graph.variables).filter(isRead)) {
        bindings[name] = requireWritten(graph, name, state[name]);
      }
      const { outputs, next } = interpret(graph, bindings, precision);
      Object.assign(state, next);
      return Object.fromEntries(
        Object.entries(graph.outputs).map(([name, { dtype }]) => [name, toTensor(dtype, outputs[name]!)]),
      );
    },
    writeState(values) {
      checkState(graph, values);
      for (const [name, value] of Object.entries(values)) state[name] = fromTensor(value);
    },
    readState(names = Object.keys(graph.variables)) {
      return Object.fromEntries(
        names.map((name) => {
          const held = requireWritten(graph, name, state[name]);
          return [name, toTensor(graph.variables[name]!.current.dtype, held)];
        }),
      );
    },
    async [Symbol.asyncDispose]() {},
  };
  states.set(executable, state);
  return executable;
}
