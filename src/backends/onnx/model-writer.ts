import { create, toBinary } from "@bufbuild/protobuf";
import type { DType } from "../../tensor/dtype.ts";
import { sizeOf } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import {
  type AttributeProto,
  AttributeProtoSchema,
  type GraphProto,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  TensorProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from "./proto/onnx_pb.ts";

/** ONNX element types (TensorProto.DataType). */
const elementTypes = { float32: 1, uint8: 2, int8: 3, int32: 6, int64: 7, float16: 10 } as const satisfies Record<
  DType | "int8" | "int64",
  number
>;
/** AttributeProto.AttributeType */
const attributeTypes = { float: 1, int: 2, string: 3, floats: 6, ints: 7 } as const;

/** Operator domains: standard ONNX, onnxruntime's contributions, its blocked convolution kernels. */
export type Domain = "" | "com.microsoft" | "com.microsoft.nchwc";

const opsets: Record<Domain, number> = { "": 20, "com.microsoft": 1, "com.microsoft.nchwc": 1 };

/** An integer list or a plain whole number becomes an int attribute; wrap floats to tell them apart. */
export type Attribute =
  | number
  | string
  | readonly number[]
  | { readonly float: number }
  | { readonly floats: readonly number[] };

export interface OpOptions {
  readonly domain?: Domain;
  readonly outputs?: number;
}

/** A dimension of a model input or output; a string names a free dimension. */
export type Dimension = number | string;

/** Writes one ONNX model node by node; equal small constants are stored once. */
export class ModelWriter {
  readonly #graph: GraphProto;
  readonly #constants = new Map<string, string>();
  /** What a reshaped value was before. */
  readonly #sources = new Map<string, string>();
  readonly #reshapes = new Map<string, string>();
  readonly #domains = new Set<Domain>([""]);
  #counter = 0;
  /** Stands before the names of the operations that are added, for profiles; their results are called without it. */
  layer: string | undefined;

  constructor(name: string) {
    this.#graph = create(GraphProtoSchema, { name });
  }

  /** Adds an operation; an omitted optional operand is "". Returns the name of its first result. */
  op(
    type: string,
    operands: readonly string[],
    attributes: Record<string, Attribute> = {},
    options: OpOptions = {},
  ): string {
    return this.ops(type, operands, attributes, options)[0]!;
  }

  /** Adds an operation with several results. */
  ops(
    type: string,
    operands: readonly string[],
    attributes: Record<string, Attribute> = {},
    { domain = "", outputs = 1 }: OpOptions = {},
  ): string[] {
    const results = Array.from({ length: outputs }, () => `${type}_${this.#counter++}`);
    this.#domains.add(domain);
    this.#graph.node.push(
      create(NodeProtoSchema, {
        opType: type,
        domain,
        name: this.layer === undefined ? results[0]! : `${this.layer}/${results[0]!}`,
        input: [...operands],
        output: results,
        attribute: Object.entries(attributes).map(([name, value]) => attributeProto(name, value)),
      }),
    );
    return results;
  }

  /** Gives a value another name: that of a model output. */
  alias(from: string, to: string): void {
    this.#graph.node.push(create(NodeProtoSchema, { opType: "Identity", name: to, input: [from], output: [to] }));
  }

  floats(shape: readonly number[], values: Float32Array): string {
    return this.#constant("float32", shape, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }

  /** A float32 scalar. */
  float(value: number): string {
    return this.floats([], Float32Array.of(value));
  }

  /** A float32 constant filled with one number. */
  fill(shape: readonly number[], value: number): string {
    return this.floats(shape, new Float32Array(sizeOf(shape)).fill(value));
  }

  /** int64 vector, as shapes and axes are given. */
  ints(values: readonly number[]): string {
    const data = BigInt64Array.from(values, BigInt);
    return this.#constant("int64", [values.length], new Uint8Array(data.buffer));
  }

  /** int32 vector: indices of large gathers. */
  indices(values: Int32Array): string {
    return this.#constant(
      "int32",
      [values.length],
      new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    );
  }

  /** A uint8 scalar. */
  byte(value: number): string {
    return this.#constant("uint8", [], Uint8Array.of(value));
  }

  /** int8 constant: weights of integer kernels. */
  bytes(shape: readonly number[], values: Int8Array): string {
    return this.#constant("int8", shape, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }

  tensor(value: Tensor): string {
    const { buffer, byteOffset, byteLength } = value.data;
    return this.#constant(value.dtype, value.shape, new Uint8Array(buffer, byteOffset, byteLength));
  }

  /** One operation from the first shape to the last, and one for all who want the same. */
  reshape(value: string, shape: readonly number[]): string {
    // A 0 repeats a dimension of the very operand.
    const source = shape.includes(0) ? value : (this.#sources.get(value) ?? value);
    const key = `${source} ${shape}`;
    const known = this.#reshapes.get(key);
    if (known !== undefined) return known;
    const result = this.op("Reshape", [source, this.ints(shape)]);
    this.#sources.set(result, source);
    this.#reshapes.set(key, result);
    return result;
  }

  transpose(value: string, perm: readonly number[]): string {
    return this.op("Transpose", [value], { perm });
  }

  input(name: string, dtype: DType, shape: readonly Dimension[]): void {
    this.#graph.input.push(valueInfo(name, dtype, shape));
  }

  output(name: string, dtype: DType, shape: readonly Dimension[]): void {
    this.#graph.output.push(valueInfo(name, dtype, shape));
  }

  /** The file, without operations and constants that no output needs: those that a fused form has replaced. */
  finish(): Uint8Array {
    this.#prune();
    const model = create(ModelProtoSchema, {
      irVersion: 9n,
      producerName: "cifar-pipeline",
      graph: this.#graph,
      opsetImport: [...this.#domains].map((domain) =>
        create(OperatorSetIdProtoSchema, { domain, version: BigInt(opsets[domain]) }),
      ),
    });
    return toBinary(ModelProtoSchema, model);
  }

  #prune(): void {
    const needed = new Set(this.#graph.output.map(({ name }) => name));
    // Operations stand behind their operands.
    const kept = this.#graph.node.toReversed().filter(({ input, output }) => {
      if (!output.some((name) => needed.has(name))) return false;
      for (const name of input) needed.add(name);
      return true;
    });
    this.#graph.node = kept.reverse();
    this.#graph.initializer = this.#graph.initializer.filter(({ name }) => needed.has(name));
  }

  #constant(dtype: keyof typeof elementTypes, shape: readonly number[], bytes: Uint8Array): string {
    const key = bytes.length <= 4096 ? `${dtype}[${shape}]${Buffer.from(bytes).toString("latin1")}` : undefined;
    const known = key === undefined ? undefined : this.#constants.get(key);
    if (known !== undefined) return known;
    const name = `const_${this.#counter++}`;
    this.#graph.initializer.push(
      create(TensorProtoSchema, {
        name,
        dims: shape.map(BigInt),
        dataType: elementTypes[dtype],
        rawData: bytes.slice(),
      }),
    );
    if (key !== undefined) this.#constants.set(key, name);
    return name;
  }
}

/** ONNX's number for an element type, as attributes name it. */
export function elementType(dtype: DType | "int64"): number {
  return elementTypes[dtype];
}

function attributeProto(name: string, value: Attribute): AttributeProto {
  if (typeof value === "number") {
    return create(AttributeProtoSchema, { name, type: attributeTypes.int, i: BigInt(value) });
  }
  if (typeof value === "string") {
    return create(AttributeProtoSchema, { name, type: attributeTypes.string, s: new TextEncoder().encode(value) });
  }
  if ("float" in value) return create(AttributeProtoSchema, { name, type: attributeTypes.float, f: value.float });
  if ("floats" in value) {
    return create(AttributeProtoSchema, { name, type: attributeTypes.floats, floats: [...value.floats] });
  }
  return create(AttributeProtoSchema, { name, type: attributeTypes.ints, ints: value.map(BigInt) });
}

function valueInfo(name: string, dtype: DType, shape: readonly Dimension[]): ValueInfoProto {
  return create(ValueInfoProtoSchema, {
    name,
    type: {
      tensorType: {
        elemType: elementTypes[dtype],
        shape: {
          dim: shape.map((dim) => ({
            value:
              typeof dim === "number"
                ? { case: "dimValue" as const, value: BigInt(dim) }
                : { case: "dimParam" as const, value: dim },
          })),
        },
      },
    },
  });
}
