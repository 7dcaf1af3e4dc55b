import type { NodeProto } from "../proto/onnx_pb.ts";
import type { OnnxFile } from "./onnx-file.ts";

/** Of an operator: what its operands are that are weights. */
type Role = "filter" | "linear" | "bias" | "normScale" | "normBias" | "statistic";

export interface Weight {
  readonly name: string;
  readonly role: Role;
}

/** Operands whose role the operator tells; a vector that Add adds is a bias, other terms are constants. */
const roles: Readonly<Record<string, readonly (Role | undefined)[]>> = {
  Add: ["bias", "bias"],
  BatchNormalization: [undefined, "normScale", "normBias", "statistic", "statistic"],
  Conv: [undefined, "filter", "bias"],
  Gemm: ["linear", "linear", "bias"],
  LayerNormalization: [undefined, "normScale", "normBias"],
  MatMul: ["linear", "linear"],
};
/** ONNX's number of the type. */
const float32 = 1;
/** What only changes the form of a tensor. */
const passing: ReadonlySet<string> = new Set(["Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze"]);

/** The tensors of a file that are weights of its layers, by what they are there; all others are constants. */
export function weightsOf({ nodes, tensors }: Pick<OnnxFile, "nodes" | "tensors">): Map<string, Weight> {
  const sources = new Map<string, string>();
  const weights = new Map<string, Weight>();
  for (const { opType, domain, input, output } of nodes as readonly NodeProto[]) {
    if (domain !== "" && domain !== "ai.onnx") continue;
    const [first] = input;
    const [result] = output;
    if (passing.has(opType) && first !== undefined && result !== undefined) {
      sources.set(result, sources.get(first) ?? first);
    }
    for (const [i, role] of (roles[opType] ?? []).entries()) {
      const operand = input[i];
      if (role === undefined || operand === undefined) continue;
      const name = sources.get(operand) ?? operand;
      const tensor = tensors.get(name);
      if (tensor?.dataType !== float32 || weights.has(name)) continue;
      if (opType === "Add" && (tensor.dims.length !== 1 || tensor.dims[0] === 1n)) continue;
      weights.set(name, { name, role });
    }
  }
  return weights;
}
