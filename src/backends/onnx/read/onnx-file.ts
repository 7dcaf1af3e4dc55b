import { fromBinary } from "@bufbuild/protobuf";
import {
  type GraphProto,
  ModelProtoSchema,
  type NodeProto,
  type TensorProto,
  type ValueInfoProto,
} from "../proto/onnx_pb.ts";
import { damagedModel, shown, unsupportedModel } from "./errors.ts";
import { toNumber } from "./known.ts";

/** Versions of the standard operators that are read. */
const opsets = { oldest: 7, newest: 22 } as const;
const maxNodes = 100_000;

/** An input or output of a file; a dimension is undefined where it is free. */
export interface FileValue {
  readonly name: string;
  /** ONNX's number of its element type. */
  readonly elementType: number;
  readonly shape: readonly (number | undefined)[];
}

/** A model file, its structure checked. */
export interface OnnxFile {
  readonly name: string;
  readonly opset: number;
  /** Operands stand before their users. */
  readonly nodes: readonly NodeProto[];
  readonly tensors: ReadonlyMap<string, TensorProto>;
  /** Without those that have a value in the file. */
  readonly inputs: readonly FileValue[];
  readonly outputs: readonly FileValue[];
}

/** @throws MODEL_DAMAGED, MODEL_UNSUPPORTED */
export function parseOnnxFile(bytes: Uint8Array): OnnxFile {
  const model = decoded(bytes);
  const { graph } = model;
  if (graph === undefined || graph.node.length === 0) throw damagedModel("it has no graph");
  if (graph.node.length > maxNodes) throw damagedModel(`${graph.node.length} nodes are more than ${maxNodes}`);
  const standard = model.opsetImport.find(({ domain }) => domain === "" || domain === "ai.onnx");
  if (standard === undefined) throw damagedModel("it names no version of the operators");
  const opset = toNumber(standard.version);
  if (opset < opsets.oldest || opset > opsets.newest) {
    throw unsupportedModel(
      `its operators are of opset ${opset}`,
      `export it for one of ${opsets.oldest} to ${opsets.newest}`,
    );
  }
  const tensors = new Map<string, TensorProto>();
  for (const tensor of graph.initializer) {
    if (tensors.has(tensor.name)) throw damagedModel(`two tensors are called ${shown(tensor.name)}`);
    tensors.set(tensor.name, tensor);
  }
  const inputs = graph.input.map(fileValue).filter(({ name }) => !tensors.has(name));
  const outputs = graph.output.map(fileValue);
  if (outputs.length === 0) throw damagedModel("it has no output");
  checkOrder(graph, [...tensors.keys(), ...inputs.map(({ name }) => name)]);
  return { name: graph.name, opset, nodes: graph.node, tensors, inputs, outputs };
}

function decoded(bytes: Uint8Array) {
  try {
    return fromBinary(ModelProtoSchema, bytes, { readUnknownFields: false });
  } catch (cause) {
    throw damagedModel("it is truncated, or no ONNX file at all", cause);
  }
}

/** Each name is given once, before it is used: so there is no cycle either. */
function checkOrder({ node, output }: GraphProto, given: readonly string[]): void {
  const known = new Set(given);
  if (known.size !== given.length) throw damagedModel("two inputs share a name");
  for (const { input, output: results, opType } of node) {
    for (const name of input) {
      if (name !== "" && !known.has(name)) {
        throw damagedModel(`${shown(name)}, an operand of ${shown(opType)}, is not there before it`);
      }
    }
    for (const name of results) {
      if (name === "") continue;
      if (known.has(name)) throw damagedModel(`${shown(name)} is given twice`);
      known.add(name);
    }
  }
  for (const { name } of output) if (!known.has(name)) throw damagedModel(`no node gives the output ${shown(name)}`);
}

function fileValue({ name, type }: ValueInfoProto): FileValue {
  const tensor = type?.tensorType;
  if (tensor === undefined) throw unsupportedModel(`${shown(name)} is no tensor`, "export a model of tensors");
  const shape = (tensor.shape?.dim ?? []).map(({ value }) => {
    if (value.case !== "dimValue" || value.value < 1n) return undefined;
    return toNumber(value.value);
  });
  return { name, elementType: tensor.elemType, shape };
}
