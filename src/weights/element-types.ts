import { endianness } from "node:os";
import { sizeOf } from "../tensor/shape.ts";
import { floats, type Tensor } from "../tensor/tensor.ts";
import { damagedWeights } from "./damaged.ts";

/** Types of elements in files of weights; whole numbers are step counters and the like, which no network here has. */
export const elementBytes = {
  float64: 8,
  float32: 4,
  float16: 2,
  bfloat16: 2,
  int64: 8,
  int32: 4,
  int16: 2,
  int8: 1,
  uint8: 1,
  bool: 1,
} as const;

export type ElementType = keyof typeof elementBytes;

/** Elements of a tensor as they lie in a file, little-endian, row by row. */
export interface RawTensor {
  readonly type: ElementType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** True for a type of real numbers. */
export function isFloat(type: ElementType): boolean {
  return type.includes("float");
}

/**
 * The numbers as float32: float16 and bfloat16 exactly, float64 rounded.
 * @throws WEIGHTS_DAMAGED when the bytes are not as many as the shape needs
 */
export function toFloat32({ type, shape, bytes }: RawTensor): Tensor<"float32"> {
  if (endianness() !== "LE") throw damagedWeights("this machine's byte order is not supported");
  const count = sizeOf(shape);
  if (bytes.length !== count * elementBytes[type]) throw damagedWeights(`${bytes.length} bytes for [${shape}]`);
  // A copy of its own, at the beginning of its buffer: aligned for every type.
  const own = new Uint8Array(bytes);
  switch (type) {
    case "float32":
      return floats(shape, new Float32Array(own.buffer, 0, count));
    case "float64":
      return floats(shape, Float32Array.from(new Float64Array(own.buffer, 0, count)));
    case "bfloat16":
      return floats(
        shape,
        new Float32Array(Uint32Array.from(new Uint16Array(own.buffer, 0, count), (x) => x << 16).buffer),
      );
    case "float16":
      return floats(shape, Float32Array.from(new Uint16Array(own.buffer, 0, count), fromHalf));
    default:
      throw damagedWeights(`elements of type ${type} are no weights`);
  }
}

/** IEEE 754 binary16, given as its bits. */
function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
