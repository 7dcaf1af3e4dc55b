import {
  activation,
  add,
  channelAffine,
  div,
  filled,
  max,
  min,
  mul,
  reciprocal,
  scale,
  sqrt,
  sub,
} from "../../../../graph/build.ts";
import type { ActivationKind, BinaryKind } from "../../../../graph/ops.ts";
import { isOp, type Value } from "../../../../graph/value.ts";
import { commonShape, shaped, spreadTo } from "../broadcasting.ts";
import { isKnown, numberOf } from "../item.ts";
import type { OnnxNode } from "../onnx-node.ts";
import { shiftedErrorFunction, timesErrorFunction } from "./gelu.ts";
import type { ReadRule } from "./rule.ts";

const builders: Readonly<Record<BinaryKind, (a: Value, b: Value) => Value>> = { add, sub, mul, div, max, min };

/** Both operands in the shape that numpy gives their result. */
export function spread(node: OnnxNode, values: readonly Value[]): Value[] {
  const shapes = values.map(({ shape }) => shape);
  const shape = commonShape(shapes);
  if (shape === undefined) return node.damaged(`shapes ${shapes.map((one) => `[${one}]`).join(" and ")} do not fit`);
  return values.map((value) => spreadTo(value, shape));
}

/** One operation on any number of operands. */
export const variadic =
  (kind: BinaryKind): ReadRule =>
  (node) => {
    const values = node.operands.map((_, i) => node.value(i));
    if (values.length === 0) node.damaged("it has no operands");
    return spread(node, values).reduce(builders[kind]);
  };

export const addition: ReadRule = (node) => {
  const gelu = shiftedErrorFunction(node);
  if (gelu !== undefined) return gelu;
  const [a, b] = [node.value(0), node.value(1)];
  return perChannel(a, b, "add") ?? perChannel(b, a, "add") ?? spread(node, [a, b]).reduce(add);
};

export const subtraction: ReadRule = (node) => spread(node, [node.value(0), node.value(1)]).reduce(sub);

export const product: ReadRule = (node) => {
  const gelu = timesErrorFunction(node);
  if (gelu !== undefined) return gelu;
  const [a, b] = [node.value(0), node.value(1)];
  return (
    gated(a, b) ?? gated(b, a) ?? perChannel(a, b, "mul") ?? perChannel(b, a, "mul") ?? spread(node, [a, b]).reduce(mul)
  );
};

export const quotient: ReadRule = (node) => {
  const divisor = node.item(1);
  const number = numberOf(divisor);
  const x = node.value(0);
  if (number !== undefined && number !== 0 && isKnown(divisor) && divisor.data.length === 1) {
    if (divisor.shape.length <= x.shape.length) return scale(x, 1 / number);
  }
  return spread(node, [x, node.value(1)]).reduce(div);
};

export const power: ReadRule = (node) => {
  const exponent = numberOf(node.known(1));
  const x = node.value(0);
  if (exponent === undefined || node.known(1).shape.length > x.shape.length) {
    return node.refuse("its exponent is no single number");
  }
  return raised(x, exponent) ?? node.refuse(`its exponent is ${exponent}`);
};

function raised(x: Value, exponent: number): Value | undefined {
  switch (exponent) {
    case 1:
      return x;
    case 2:
      return mul(x, x);
    case 3:
      return mul(mul(x, x), x);
    case 0.5:
      return sqrt(x);
    case -1:
      return reciprocal(x);
    default:
      return undefined;
  }
}

/** x * sigmoid(x) and x * hardSigmoid(x) have names of their own. */
function gated(x: Value, gate: Value): Value | undefined {
  const names: Partial<Record<ActivationKind, ActivationKind>> = { sigmoid: "silu", hardSigmoid: "hardSwish" };
  if (!isOp(gate, "activation") || gate.operands[0] !== x) return undefined;
  const name = names[gate.attrs.kind];
  return name === undefined ? undefined : activation(x, name);
}

/** Images with one number for each channel, or for each image and channel: a map that becomes part of a convolution. */
function perChannel(x: Value, numbers: Value, kind: "add" | "mul"): Value | undefined {
  const [n, c] = x.shape;
  const { shape } = numbers;
  const spatial = shape.length >= 3 && shape.at(-1) === 1 && shape.at(-2) === 1;
  const ofChannels = shape.at(-3) === c && (shape.length === 3 || (shape.length === 4 && shape[0] === 1 && n !== 1));
  const ofImages = shape.length === 4 && shape[0] === n && shape[1] === c;
  const isMap = x.shape.length === 4 && (x.shape[2] !== 1 || x.shape[3] !== 1);
  if (!isMap || !spatial || !(ofChannels || ofImages)) return undefined;
  const target = ofChannels ? [c!] : [n!, c!];
  const own = shaped(numbers, target);
  return kind === "add" ? channelAffine(x, filled(target, 1), own) : channelAffine(x, own, filled(target, 0));
}
