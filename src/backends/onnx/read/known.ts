import { endianness } from "node:os";
import { type Shape, sizeOf } from "../../../tensor/shape.ts";
import { floats, type Tensor } from "../../../tensor/tensor.ts";
import type { TensorProto } from "../proto/onnx_pb.ts";
import { damagedModel, shown, unsupportedModel } from "./errors.ts";

/** What a file computes with beside the values of the graph: weights, and the shapes and indices that are known now. */
export type Known =
  | { readonly kind: "float"; readonly shape: Shape; readonly data: Float32Array }
  /** Whole numbers and truth values; beyond 2^53 they stand for "as far as it goes". */
  | { readonly kind: "int"; readonly shape: Shape; readonly data: Float64Array };

/** Elements that one tensor may have: 512 MB of floats. */
export const maxElements = 2 ** 27;
/** Elements that are computed while a file is read; what is larger is the graph's work. */
export const maxComputed = 2 ** 20;
const maxRank = 8;

/** @throws MODEL_DAMAGED unless the dimensions are those of a tensor that fits into memory */
export function checkShape(shape: Shape, what: string, most = maxElements): Shape {
  const sound = shape.every((dim) => Number.isSafeInteger(dim) && dim >= 0);
  if (!sound || shape.length > maxRank || sizeOf(shape) > most) {
    throw damagedModel(`${what} has the shape [${shape.slice(0, maxRank + 1)}]`);
  }
  return shape;
}

export function wholeNumbers(shape: Shape, values: ArrayLike<number>): Known {
  return { kind: "int", shape, data: Float64Array.from(values) };
}

export function realNumbers(shape: Shape, values: ArrayLike<number>): Known {
  return { kind: "float", shape, data: Float32Array.from(values) };
}

export function toTensor({ shape, data }: Extract<Known, { kind: "float" }>): Tensor<"float32"> {
  return floats(shape, data);
}

/** An int64 as a number; beyond 2^53, which only stands for "to the end", as that. */
export function toNumber(value: bigint): number {
  const limit = BigInt(Number.MAX_SAFE_INTEGER);
  return Number(value > limit ? limit : value < -limit ? -limit : value);
}

interface ElementType {
  readonly kind: Known["kind"];
  readonly bytes: number;
  /** Elements in the file's raw bytes, at the beginning of a buffer of their own. */
  raw(buffer: ArrayBuffer): ArrayLike<number>;
  /** Elements in the field of their type. */
  typed(tensor: TensorProto): ArrayLike<number>;
}

const elementTypes: Readonly<Record<number, ElementType>> = {
  1: { kind: "float", bytes: 4, raw: (buffer) => new Float32Array(buffer), typed: ({ floatData }) => floatData },
  2: { kind: "int", bytes: 1, raw: (buffer) => new Uint8Array(buffer), typed: ({ int32Data }) => int32Data },
  3: { kind: "int", bytes: 1, raw: (buffer) => new Int8Array(buffer), typed: ({ int32Data }) => int32Data },
  6: { kind: "int", bytes: 4, raw: (buffer) => new Int32Array(buffer), typed: ({ int32Data }) => int32Data },
  7: {
    kind: "int",
    bytes: 8,
    raw: (buffer) => Array.from(new BigInt64Array(buffer), toNumber),
    typed: ({ int64Data }) => int64Data.map(toNumber),
  },
  9: { kind: "int", bytes: 1, raw: (buffer) => new Uint8Array(buffer), typed: ({ int32Data }) => int32Data },
  11: { kind: "float", bytes: 8, raw: (buffer) => new Float64Array(buffer), typed: ({ doubleData }) => doubleData },
};

/** ONNX's number of a type as Cast names it. */
export function kindOf(elementType: number): Known["kind"] | undefined {
  return elementTypes[elementType]?.kind;
}

/**
 * A tensor of the file, its doubles rounded to float32.
 * @throws MODEL_DAMAGED, MODEL_UNSUPPORTED for other types and for data outside the file
 */
export function knownOf(tensor: TensorProto, name: string): Known {
  const what = `the tensor ${shown(name)}`;
  if (tensor.dataLocation !== 0) {
    throw unsupportedModel(
      `${what} is kept in another file`,
      "save it as one file: onnx.save_model(onnx.load(PATH), PATH, save_as_external_data=False)",
    );
  }
  const shape = checkShape(tensor.dims.map(toNumber), what);
  const type = elementTypes[tensor.dataType];
  if (type === undefined) {
    throw unsupportedModel(`${what} has elements of ONNX's type ${tensor.dataType}`, "export the model in float32");
  }
  const { rawData } = tensor;
  const count = sizeOf(shape);
  if (rawData.length > 0 && (endianness() !== "LE" || rawData.length !== count * type.bytes)) {
    throw damagedModel(`${what} [${shape}] has ${rawData.length} bytes`);
  }
  const elements = rawData.length > 0 ? type.raw(new Uint8Array(rawData).buffer) : type.typed(tensor);
  if (elements.length !== count) throw damagedModel(`${what} [${shape}] has ${elements.length} elements`);
  return type.kind === "float" ? realNumbers(shape, elements) : wholeNumbers(shape, elements);
}
