import type { OpName } from "../../graph/ops.ts";
import type { Value } from "../../graph/value.ts";
import type { ReferenceArray } from "./array.ts";

/** Computes the elements of one value from its operands, in double precision. */
export type Evaluator<O extends OpName> = (value: Value<O>, operands: readonly ReferenceArray[]) => Float64Array;

/** The operand at `index`; inference has checked the count. */
export function operandAt(operands: readonly ReferenceArray[], index: number): ReferenceArray {
  return operands[index]!;
}

/** The four dimensions of an image batch. */
export function imageShape({
  shape,
}: {
  readonly shape: readonly number[];
}): readonly [number, number, number, number] {
  return shape as unknown as readonly [number, number, number, number];
}
