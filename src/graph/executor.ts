import type { DType } from "../tensor/dtype.ts";
import type { Named, Tensor } from "../tensor/tensor.ts";

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
