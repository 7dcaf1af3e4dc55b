import {
  type ActivationKind,
  activationSaves,
  type BinaryKind,
  type CompareKind,
  type UnaryKind,
} from "../../graph/ops.ts";
import type { ReferenceArray } from "./array.ts";
import { erf } from "./erf.ts";
import { type Evaluator, operandAt } from "./evaluator.ts";

const unaryFunctions: { readonly [K in UnaryKind]: (x: number) => number } = {
  neg: (x) => -x,
  exp: Math.exp,
  log: Math.log,
  sqrt: Math.sqrt,
  reciprocal: (x) => 1 / x,
  abs: Math.abs,
};

const binaryFunctions: { readonly [K in BinaryKind]: (a: number, b: number) => number } = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  max: Math.max,
  min: Math.min,
};

const compareFunctions: { readonly [K in CompareKind]: (a: number, b: number) => boolean } = {
  greater: (a, b) => a > b,
  equal: (a, b) => a === b,
};

interface ActivationFunction {
  readonly value: (x: number) => number;
  /** dy/dx, from whichever of x and y the graph saves for this kind (`activationSaves`); the other one is NaN. */
  readonly slope: (x: number, y: number) => number;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const clamp = (x: number, low: number, high: number): number => Math.min(Math.max(x, low), high);

/** Hard-swish and hard-sigmoid as in PyTorch: relu6(x + 3) / 6; GELU with the error function, not with tanh. */
const activationFunctions: { readonly [K in ActivationKind]: ActivationFunction } = {
  relu: { value: (x) => Math.max(x, 0), slope: (_, y) => (y > 0 ? 1 : 0) },
  relu6: { value: (x) => clamp(x, 0, 6), slope: (_, y) => (y > 0 && y < 6 ? 1 : 0) },
  sigmoid: { value: sigmoid, slope: (_, y) => y * (1 - y) },
  tanh: { value: Math.tanh, slope: (_, y) => 1 - y * y },
  hardSigmoid: { value: (x) => clamp(x + 3, 0, 6) / 6, slope: (_, y) => (y > 0 && y < 1 ? 1 / 6 : 0) },
  hardSwish: {
    value: (x) => (x * clamp(x + 3, 0, 6)) / 6,
    slope: (x) => (x <= -3 ? 0 : x < 3 ? x / 3 + 0.5 : 1),
  },
  silu: { value: (x) => x * sigmoid(x), slope: (x, y) => sigmoid(x) + y * (1 - sigmoid(x)) },
  gelu: {
    value: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
    slope: (x) => 0.5 * (1 + erf(x / Math.SQRT2)) + (x * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI),
  },
};

function zip(a: ReferenceArray, b: ReferenceArray, combine: (a: number, b: number) => number): Float64Array {
  return a.data.map((x, i) => combine(x, b.data[i]!));
}

export const unary: Evaluator<"unary"> = ({ attrs }, operands) =>
  operandAt(operands, 0).data.map((x) => unaryFunctions[attrs.kind](x));

export const binary: Evaluator<"binary"> = ({ attrs }, operands) =>
  zip(operandAt(operands, 0), operandAt(operands, 1), binaryFunctions[attrs.kind]);

export const compare: Evaluator<"compare"> = ({ attrs }, operands) => {
  const holds = compareFunctions[attrs.kind];
  return zip(operandAt(operands, 0), operandAt(operands, 1), (a, b) => (holds(a, b) ? 1 : 0));
};

export const activation: Evaluator<"activation"> = ({ attrs }, operands) =>
  operandAt(operands, 0).data.map((x) => activationFunctions[attrs.kind].value(x));

export const activationGrad: Evaluator<"activationGrad"> = ({ attrs }, operands) => {
  const saves: readonly ("x" | "y")[] = activationSaves[attrs.kind];
  const savedAt = (which: "x" | "y"): Float64Array | undefined => operands[saves.indexOf(which)]?.data;
  const [x, y] = [savedAt("x"), savedAt("y")];
  const { slope } = activationFunctions[attrs.kind];
  return operandAt(operands, saves.length).data.map((dy, i) => dy * slope(x?.[i] ?? Number.NaN, y?.[i] ?? Number.NaN));
};

/** To an integer type by truncation towards zero; the interpreter rounds to the target afterwards. */
export const cast: Evaluator<"cast"> = ({ attrs }, operands) => {
  const { data } = operandAt(operands, 0);
  return attrs.dtype === "int32" || attrs.dtype === "uint8" ? data.map(Math.trunc) : data.slice();
};

export const copy = (_: unknown, operands: readonly ReferenceArray[]): Float64Array =>
  operandAt(operands, 0).data.slice();
