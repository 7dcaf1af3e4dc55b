import { sameShape } from "../../tensor/shape.ts";
import { filledNumber } from "../build.ts";
import { isOp, type Value } from "../value.ts";

/** Which operations can work on bytes as they are, and on whose: what plan and lowering of 8-bit networks agree on. */

/** The value whose bytes these are, moved or chosen among: the code is the same. */
export function byteSource(value: Value): Value {
  let source = value;
  while (isOp(source, "maxPool2d") || isOp(source, "reshape")) source = source.operands[0]!;
  return source;
}

/** The operands that an operation on bytes takes as bytes; undefined where there is no such operation. */
export function byteOperands(value: Value): readonly Value[] | undefined {
  if (isOp(value, "maxPool2d") || isOp(value, "reshape") || isOp(value, "concat")) return value.operands;
  if (isOp(value, "channelAffine")) {
    const [image, gate, bias] = value.operands as [Value, Value, Value];
    return gate.shape.length === 2 && filledNumber(bias) === 0 ? [image, gate] : undefined;
  }
  const averaged = averagedImage(value);
  if (averaged !== undefined) return [averaged];
  const sum = isClipping(value) ? value.operands[0]! : value;
  return isImageSum(sum) ? sum.operands : undefined;
}

/** True for an activation that saturation at the ends of a range can do. */
export function isClipping(value: Value): value is Value<"activation"> {
  return isOp(value, "activation") && (value.attrs.kind === "relu" || value.attrs.kind === "relu6");
}

/** The image whose mean over all places a value is. */
export function averagedImage(value: Value): Value | undefined {
  if (!isOp(value, "binary") || value.attrs.kind !== "mul") return undefined;
  const [sum, factor] = value.operands as [Value, Value];
  if (!isOp(sum, "reduceSum") || sum.attrs.axes.join() !== "2,3") return undefined;
  const image = sum.operands[0]!;
  const places = image.shape[2]! * image.shape[3]!;
  return filledNumber(factor) === Math.fround(1 / places) ? image : undefined;
}

/** The sum of two images of one shape. */
function isImageSum(value: Value): boolean {
  if (!isOp(value, "binary") || value.attrs.kind !== "add" || value.shape.length !== 4) return false;
  return value.operands.every((operand) => sameShape(operand.shape, value.shape) && !isOp(operand, "broadcast"));
}
