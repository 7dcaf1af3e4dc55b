import type { DType } from "../../tensor/dtype.ts";
import type { Shape } from "../../tensor/shape.ts";
import { type Tensor, zeros } from "../../tensor/tensor.ts";
import { fromHalfBits, toHalfBits } from "./half.ts";

/** What the interpreter computes with: numbers in double precision, whatever the element type they stand for. */
export interface ReferenceArray {
  readonly shape: Shape;
  readonly data: Float64Array;
}

/** "float32" rounds every float32 result as hardware does; "float64" keeps it in double precision. */
export type Precision = "float32" | "float64";

export function fromTensor({ dtype, shape, data }: Tensor): ReferenceArray {
  return { shape, data: dtype === "float16" ? Float64Array.from(data, fromHalfBits) : Float64Array.from(data) };
}

export function toTensor(dtype: DType, { shape, data }: ReferenceArray): Tensor {
  const result = zeros(dtype, shape);
  result.data.set(dtype === "float16" ? data.map(toHalfBits) : data);
  return result;
}

/** Rounds numbers in place to what `dtype` can hold. */
export function roundTo(dtype: DType, data: Float64Array, precision: Precision): Float64Array {
  switch (dtype) {
    case "float32":
      return precision === "float64" ? data : mapInPlace(data, Math.fround);
    case "float16":
      return mapInPlace(data, (x) => fromHalfBits(toHalfBits(x)));
    case "int32":
      return mapInPlace(data, (x) => x | 0);
    case "uint8":
      return mapInPlace(data, (x) => x & 0xff);
  }
}

function mapInPlace(data: Float64Array, round: (x: number) => number): Float64Array {
  for (let i = 0; i < data.length; i++) data[i] = round(data[i]!);
  return data;
}
