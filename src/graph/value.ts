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
}

export function isOp<O extends OpName>(value: Value, op: O): value is Value<O> {
  return value.op === op;
}
