import type { Graph } from "../../../graph/graph.ts";
import type { OpName } from "../../../graph/ops.ts";
import { batchedValues } from "../../../graph/passes/batched.ts";
import type { QuantizationPlan } from "../../../graph/quantization.ts";
import type { Value } from "../../../graph/value.ts";
import { written } from "../export.ts";
import { plainRules } from "../lower/plain-rules.ts";
import { loweringRules } from "../lower/rules.ts";
import { Lowering, type LoweringRules, type LowerRule } from "../lowering.ts";
import { ModelWriter } from "../model-writer.ts";
import { IntegerLowering } from "./integer-lowering.ts";

/**
 * An inference graph as an ONNX file whose layers compute in 8 bit as the plan says: bytes between integer kernels, the
 * QLinear operators rather than pairs of QuantizeLinear and DequantizeLinear, which onnxruntime runs 1.2 to 1.7 times
 * slower. Inputs and outputs stay float32, the batch is free.
 * @param graph without variables
 */
export function exportQuantizedModel(graph: Graph, plan: QuantizationPlan): Uint8Array {
  const batched = batchedValues(graph);
  const writer = new ModelWriter(graph.name);
  const integers = new IntegerLowering(plan);
  const lowering = new Lowering(graph, { writer, rules: withIntegers(integers), block: 0, portable: true, batched });
  return written(lowering, (value) => value.shape.map((dim, i) => (i === 0 && batched.has(value) ? "batch" : dim)));
}

/** The plain rules, but for what is computed in integers: of that a user in float32 reads the bytes. */
function withIntegers(integers: IntegerLowering): LoweringRules {
  const rule =
    (op: OpName): LowerRule =>
    (value, lowering) => {
      const name = integers.inFloat(value, lowering);
      return name === undefined ? (plainRules[op] as LowerRule)(value, lowering) : { name, layout: "plain" };
    };
  const plain = Object.fromEntries((Object.keys(plainRules) as OpName[]).map((op) => [op, rule(op)]));
  return { ...loweringRules, plain: plain as { readonly [O in OpName]: LowerRule<Value<O>> } };
}
