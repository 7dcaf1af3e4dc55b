import type { NodeProto } from "../proto/onnx_pb.ts";
import { knownOf, toNumber } from "./known.ts";
import type { OnnxFile } from "./onnx-file.ts";

/** The linear layer at the end of a file, by names of the file. */
export interface ClassifierEnd {
  readonly weight: string;
  /** [classes, features] as in PyTorch; otherwise the other way round. */
  readonly isOutFirst: boolean;
  readonly bias: string | undefined;
  /** What the layer gets, [N, features]; the maps [N, features, h, w] where these are averaged for it. */
  readonly features: string;
  /** What the sum over each map is multiplied by, where the average is written so. */
  readonly scale: number | undefined;
}

/** What only changes the form, or nothing outside of training. */
const passing: ReadonlySet<string> = new Set(["Identity", "Dropout", "Flatten", "Reshape", "Squeeze"]);

/** @returns undefined where the logits do not come from a linear layer with weights of its own */
export function classifierEnd(file: OnnxFile, logits: string): ClassifierEnd | undefined {
  const producers = new Map(file.nodes.flatMap((node) => node.output.map((name) => [name, node] as const)));
  const behind = (name: string): NodeProto | undefined => {
    const node = producers.get(name);
    return node !== undefined && passing.has(node.opType) ? behind(node.input[0]!) : node;
  };
  const linear = linearOf(behind(logits), { file, producers });
  if (linear === undefined) return undefined;
  const { given, ...layer } = linear;
  const pool = behind(given);
  const isPooled = pool?.opType === "GlobalAveragePool" || (pool?.opType === "ReduceMean" && isOverMaps(pool, file));
  if (isPooled) return { ...layer, features: pool.input[0]!, scale: undefined };
  const scale = pool?.opType === "Mul" ? numberOf(file, pool.input[1]!) : undefined;
  const sum = scale === undefined ? undefined : behind(pool!.input[0]!);
  if (sum?.opType === "ReduceSum" && isOverMaps(sum, file)) return { ...layer, features: sum.input[0]!, scale };
  return { ...layer, features: given, scale: undefined };
}

function numberOf({ tensors }: OnnxFile, name: string): number | undefined {
  const tensor = tensors.get(name);
  if (tensor === undefined || tensor.dims.some((dim) => dim !== 1n)) return undefined;
  return Number(knownOf(tensor, name).data[0]);
}

interface Context {
  readonly file: OnnxFile;
  readonly producers: ReadonlyMap<string, NodeProto>;
}

type Linear = Omit<ClassifierEnd, "features" | "scale"> & { readonly given: string };

function linearOf(node: NodeProto | undefined, { file, producers }: Context): Linear | undefined {
  const isWeight = (name: string | undefined): name is string => file.tensors.get(name ?? "")?.dims.length === 2;
  /** The vector that is given as it is, or brought into the form of the logits. */
  const vector = (name: string): string | undefined => {
    const node = producers.get(name);
    if (node !== undefined && ["Reshape", "Unsqueeze", "Expand"].includes(node.opType)) return vector(node.input[0]!);
    return file.tensors.get(name)?.dims.length === 1 ? name : undefined;
  };
  const attribute = (of: NodeProto, wanted: string) => of.attribute.find(({ name }) => name === wanted);
  if (node?.opType === "Gemm") {
    const [given, weight, bias] = node.input;
    const isPlain = ["alpha", "beta"].every((name) => (attribute(node, name)?.f ?? 1) === 1);
    if (!isPlain || toNumber(attribute(node, "transA")?.i ?? 0n) !== 0 || !isWeight(weight)) return undefined;
    const hasBias = bias !== undefined && bias !== "";
    if (hasBias && vector(bias) === undefined) return undefined;
    return {
      ...{ given: given!, weight, bias: hasBias ? vector(bias) : undefined },
      isOutFirst: toNumber(attribute(node, "transB")?.i ?? 0n) === 1,
    };
  }
  if (node?.opType === "MatMul") {
    const [given, weight] = node.input;
    const transpose = producers.get(weight!);
    if (isWeight(weight)) return { given: given!, weight, isOutFirst: false, bias: undefined };
    const source = transpose?.opType === "Transpose" ? transpose.input[0] : undefined;
    return isWeight(source) ? { given: given!, weight: source, isOutFirst: true, bias: undefined } : undefined;
  }
  if (node?.opType === "Add") {
    const [a, b] = node.input as [string, string];
    const bias = vector(b) ?? vector(a);
    if (bias === undefined) return undefined;
    const product = vector(b) === undefined ? b : a;
    const linear = linearOf(producers.get(product), { file, producers });
    return linear?.bias === undefined && linear !== undefined ? { ...linear, bias } : undefined;
  }
  return undefined;
}

/** Over height and width of [N, C, h, w]. */
function isOverMaps({ input, attribute }: NodeProto, { tensors }: OnnxFile): boolean {
  const operand = tensors.get(input[1] ?? "");
  const axes =
    operand === undefined
      ? attribute.find(({ name }) => name === "axes")?.ints.map(toNumber)
      : [...knownOf(operand, input[1]!).data].map(Number);
  return (
    axes
      ?.map((axis) => (axis < 0 ? axis + 4 : axis))
      .sort()
      .join() === "2,3"
  );
}
