/** Element types and their arrays. There is no boolean: comparisons give float32 0 or 1. */
interface TypedArrays {
  float32: Float32Array;
  /** Raw IEEE 754 half-precision bits. */
  float16: Uint16Array;
  int32: Int32Array;
  uint8: Uint8Array;
}

export type DType = keyof TypedArrays;

export type TypedArrayOf<D extends DType> = TypedArrays[D];

export const typedArrays: { readonly [D in DType]: new (length: number) => TypedArrays[D] } = {
  float32: Float32Array,
  float16: Uint16Array,
  int32: Int32Array,
  uint8: Uint8Array,
};
