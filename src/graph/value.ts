import type { DType } from "../tensor/dtype.ts";
import type { Shape } from "../tensor/shape.ts";
import type { OpAttrs, OpName } from "./ops.ts";

/**
 * The symbolic result of one operation in a static single-assignment graph. A value knows its operation and operands,
 * so a graph is whatever can be reached from its outputs; identity of the object is identity of the value.
 */
export interface Value<O extends OpName = OpName> {
  readonly op: O;
  readonly attrs: OpAttrs[O];
  readonly operands: readonly Value[];
  readonly dtype: DType;
  readonly shape: Shape;
  /**
   * Name of the parameter or input that it was computed with, "layers.3.conv.weight": what profiles call it by. A
   * gradient has the layer of the value that it belongs to. Nothing that is computed depends on it.
   */
  readonly layer?: string | undefined;
}

/** Gives values that were just made a layer: what leads from `result` down to the `known` ones, which then knows them too. */
export function setLayer(result: Value, layer: string | undefined, known: Set<Value>): void {
  if (known.has(result)) return;
  known.add(result);
  (result as { layer?: string | undefined }).layer = layer;
  for (const operand of result.operands) setLayer(operand, layer, known);
}

export function isOp<O extends OpName>(value: Value, op: O): value is Value<O> {
  return value.op === op;
}
