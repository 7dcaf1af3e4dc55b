import { PipelineError } from "../base/errors.ts";
import { type DType, type TypedArrayOf, typedArrays } from "./dtype.ts";
import { type Shape, sizeOf } from "./shape.ts";

/** Concrete data: a dense row-major array with a shape and an element type. */
export interface Tensor<D extends DType = DType> {
  readonly dtype: D;
  readonly shape: Shape;
  readonly data: TypedArrayOf<D>;
}

/** @throws SHAPE_MISMATCH when `data` does not hold exactly the elements of `shape`. */
export function tensor<D extends DType>(dtype: D, shape: Shape, data: TypedArrayOf<D>): Tensor<D> {
  if (data.length !== sizeOf(shape)) {
    throw new PipelineError(
      "SHAPE_MISMATCH",
      `tensor of shape [${shape}] needs ${sizeOf(shape)} elements, got ${data.length}`,
    );
  }
  return { dtype, shape, data };
}

export function zeros<D extends DType>(dtype: D, shape: Shape): Tensor<D> {
  return { dtype, shape, data: new typedArrays[dtype](sizeOf(shape)) };
}

export function scalar(value: number): Tensor<"float32"> {
  return tensor("float32", [], Float32Array.of(value));
}

/** Float32 tensor from nested numbers or a flat list. */
export function floats(shape: Shape, values: ArrayLike<number>): Tensor<"float32"> {
  return tensor("float32", shape, values instanceof Float32Array ? values : Float32Array.from(values));
}

/** Float32 data of a tensor that must be float32. */
export function floatData(value: Tensor): Float32Array {
  if (value.dtype !== "float32") {
    throw new PipelineError("SHAPE_MISMATCH", `expected a float32 tensor, got ${value.dtype}`);
  }
  return value.data as Float32Array;
}

/** The one number in a tensor of one element. */
export function item(value: Tensor): number {
  if (value.data.length !== 1) {
    throw new PipelineError("SHAPE_MISMATCH", `expected one element, got shape [${value.shape}]`);
  }
  return Number(value.data[0]);
}

export type Named<T> = Readonly<Record<string, T>>;
