import type { DType } from "../tensor/dtype.ts";
import type { Named, Tensor } from "../tensor/tensor.ts";
import type { Graph } from "./graph.ts";

/** Compiles graphs for one device. Declared here, implemented in backends/, injected by the composition roots. */
export interface Executor {
  /** For people: "cpu (2 threads, blocked kernels)". */
  readonly device: string;
  /** True where half-precision arithmetic is native and faster. */
  readonly mixedPrecision: boolean;
  /** With `sharing`: variables of the same name are those of that executable, which stays open as long as this one. */
  compile(graph: Graph, sharing?: Executable): Promise<Executable>;
}

/** A compiled graph with its state. Runs may not overlap. */
export interface Executable extends AsyncDisposable {
  /**
   * Runs once: computes the outputs from the feeds and the state, then replaces the state. A run that is refused changes
   * nothing.
   * @throws INVALID_ARGUMENT for an unknown or missing feed; SHAPE_MISMATCH for one of another type or shape;
   * STATE_MISMATCH when a variable that the graph reads was never written
   */
  run(feeds: Named<Tensor>): Promise<Named<Tensor>>;
  /** Overwrites variables, all or none. @throws STATE_MISMATCH for an unknown name, another type or shape */
  writeState(values: Named<Tensor>): void;
  /**
   * Copies of variables in their logical shapes; all of them by default.
   * @throws STATE_MISMATCH for an unknown name or a variable that was never written
   */
  readState(names?: readonly string[]): Record<string, Tensor>;
}

/** One input or output of a model file; a dimension is -1 where it is free (the batch). */
export interface TensorSpec {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** A loaded inference model. `run` blocks the calling thread: use it in a worker where something else must stay alive. */
export interface InferenceModel extends AsyncDisposable {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  run(feeds: Named<Tensor>): Promise<Named<Tensor>>;
}

export interface InferenceModelOptions {
  /** Threads inside one operator; default 1. */
  readonly threads?: number;
}
