import { PipelineError } from "../../base/errors.ts";
import type { Executable, Executor } from "../../graph/executor.ts";
import type { Graph } from "../../graph/graph.ts";
import type { DType } from "../../tensor/dtype.ts";
import { type Shape, sameShape } from "../../tensor/shape.ts";
import type { Named, Tensor } from "../../tensor/tensor.ts";
import { fromTensor, type Precision, type ReferenceArray, toTensor, zeroArray } from "./array.ts";
import { interpret } from "./interpreter.ts";

export interface ReferenceExecutorOptions {
  /** "float64" keeps values and state in double precision between operations and runs. Default: "float32". */
  readonly precision?: Precision;
}

/**
 * A slow, obvious interpreter: the oracle that other executors are tested against. Sums are accumulated in double
 * precision. Variables are zero until they are written.
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
  for (const [name, { current }] of Object.entries(graph.variables)) state[name] ??= zeroArray(current.shape);
  const executable: Executable = {
    async run(feeds) {
      const { outputs, next } = interpret(graph, { ...state, ...bindInputs(graph, feeds) }, precision);
      Object.assign(state, next);
      return Object.fromEntries(
        Object.entries(graph.outputs).map(([name, { dtype }]) => [name, toTensor(dtype, outputs[name]!)]),
      );
    },
    writeState(values) {
      const written = Object.entries(values).map(([name, value]) => {
        const variable = graph.variables[name];
        if (variable === undefined) throw stateMismatch(graph, `there is no variable ${name}`);
        if (!sameType(variable.current, value)) {
          throw stateMismatch(graph, `${name} is ${typeOf(variable.current)}, got ${typeOf(value)}`);
        }
        return [name, fromTensor(value)] as const;
      });
      Object.assign(state, Object.fromEntries(written));
    },
    readState(names = Object.keys(graph.variables)) {
      return Object.fromEntries(
        names.map((name) => {
          const variable = graph.variables[name];
          if (variable === undefined) throw stateMismatch(graph, `there is no variable ${name}`);
          return [name, toTensor(variable.current.dtype, state[name]!)];
        }),
      );
    },
    async [Symbol.asyncDispose]() {},
  };
  states.set(executable, state);
  return executable;
}

function bindInputs(graph: Graph, feeds: Named<Tensor>): Record<string, ReferenceArray> {
  for (const name of Object.keys(feeds)) {
    if (graph.inputs[name] === undefined) {
      throw new PipelineError("INVALID_ARGUMENT", `graph ${graph.name} has no input ${name}`, {
        remedy: `feed only ${Object.keys(graph.inputs).join(", ")}`,
      });
    }
  }
  return Object.fromEntries(
    Object.entries(graph.inputs).map(([name, input]) => {
      const fed = feeds[name];
      if (fed === undefined) {
        throw new PipelineError("INVALID_ARGUMENT", `graph ${graph.name}: input ${name} is not fed`);
      }
      if (!sameType(input, fed)) {
        throw new PipelineError(
          "SHAPE_MISMATCH",
          `graph ${graph.name}: input ${name} is ${typeOf(input)}, got ${typeOf(fed)}`,
        );
      }
      return [name, fromTensor(fed)];
    }),
  );
}

interface Typed {
  readonly dtype: DType;
  readonly shape: Shape;
}

function sameType(a: Typed, b: Typed): boolean {
  return a.dtype === b.dtype && sameShape(a.shape, b.shape);
}

function typeOf({ dtype, shape }: Typed): string {
  return `${dtype}[${shape}]`;
}

function stateMismatch(graph: Graph, why: string): PipelineError {
  return new PipelineError("STATE_MISMATCH", `graph ${graph.name}: ${why}`);
}
