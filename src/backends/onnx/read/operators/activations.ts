import {
  abs,
  activation,
  add,
  div,
  exp,
  filled,
  log,
  logSoftmax,
  max,
  min,
  mul,
  neg,
  reduceMax,
  reduceSum,
  reshape,
  scale,
  shift,
  stopGradient,
  sub,
} from "../../../../graph/build.ts";
import type { ActivationKind } from "../../../../graph/ops.ts";
import type { Value } from "../../../../graph/value.ts";
import { spreadTo } from "../broadcasting.ts";
import { numberOf } from "../item.ts";
import type { OnnxNode } from "../onnx-node.ts";
import { spread } from "./binary.ts";
import type { ReadRule } from "./rule.ts";

export const named =
  (kind: ActivationKind): ReadRule =>
  (node) =>
    activation(node.value(0), kind);

const atLeast = (x: Value, bound: number): Value => max(x, filled(x.shape, bound));
const atMost = (x: Value, bound: number): Value => min(x, filled(x.shape, bound));

export const clip: ReadRule = (node) => {
  const bound = (index: number, attribute: string, otherwise: number): number => {
    if (node.operands[index] === undefined) return node.float(attribute, otherwise);
    return numberOf(node.known(index)) ?? node.refuse("its bounds are no single numbers");
  };
  const [low, high] = [bound(1, "min", Number.NEGATIVE_INFINITY), bound(2, "max", Number.POSITIVE_INFINITY)];
  const x = node.value(0);
  // The largest floats are what older exporters write for no bound.
  const [isBelow, isAbove] = [low > -3.4e38, high < 3.4e38];
  if (low === 0 && high === 6) return activation(x, "relu6");
  const raised = !isBelow ? x : low === 0 ? activation(x, "relu") : atLeast(x, low);
  return isAbove ? atMost(raised, high) : raised;
};

export const hardSigmoid: ReadRule = (node) => {
  const [alpha, beta] = [node.float("alpha", 0.2), node.float("beta", 0.5)];
  const x = node.value(0);
  if (Math.abs(alpha * 6 - 1) < 1e-6 && beta === 0.5) return activation(x, "hardSigmoid");
  return atMost(activation(shift(scale(x, alpha), beta), "relu"), 1);
};

export const leakyRelu: ReadRule = (node) => {
  const slope = node.float("alpha", 0.01);
  const x = node.value(0);
  return slope <= 1 ? max(x, scale(x, slope)) : min(x, scale(x, slope));
};

/** relu(x) - slope * relu(-x) */
export const parametricRelu: ReadRule = (node) => {
  const [x, slope] = spread(node, [node.value(0), node.value(1)]) as [Value, Value];
  return sub(activation(x, "relu"), mul(slope, activation(neg(x), "relu")));
};

/** relu(x) + alpha * (exp(min(x, 0)) - 1) */
export const elu: ReadRule = (node) => {
  const x = node.value(0);
  return add(activation(x, "relu"), scale(shift(exp(atMost(x, 0)), -1), node.float("alpha", 1)));
};

/** log(1 + exp x), written so that nothing overflows: relu(x) + log(1 + exp(-|x|)) */
const softplusOf = (x: Value): Value => add(activation(x, "relu"), log(shift(exp(neg(abs(x))), 1)));

export const softplus: ReadRule = (node) => softplusOf(node.value(0));

export const mish: ReadRule = (node) => {
  const x = node.value(0);
  return mul(x, activation(softplusOf(x), "tanh"));
};

export const gelu: ReadRule = (node) => {
  const x = node.value(0);
  if (node.text("approximate", "none") !== "tanh") return activation(x, "gelu");
  const inner = scale(add(x, scale(mul(mul(x, x), x), 0.044715)), Math.sqrt(2 / Math.PI));
  return mul(scale(x, 0.5), shift(activation(inner, "tanh"), 1));
};

/** The axis along which probabilities sum to 1. Before opset 13 all dimensions behind `axis` were taken together. */
export function softmaxAxis(node: OnnxNode, rank: number): number {
  const axis = node.axis(node.integer("axis", node.opset < 13 ? 1 : -1), rank);
  if (node.opset < 13 && axis !== rank - 1) node.refuse("it takes several dimensions together");
  return axis;
}

export const softmax: ReadRule = (node) => {
  const x = node.value(0);
  const axis = softmaxAxis(node, x.shape.length);
  const kept = x.shape.map((dim, i) => (i === axis ? 1 : dim));
  const along = (reduced: Value): Value => spreadTo(reshape(reduced, kept), x.shape);
  const exponentials = exp(sub(x, along(stopGradient(reduceMax(x, [axis])))));
  return div(exponentials, along(reduceSum(exponentials, [axis])));
};

export const logarithmicSoftmax: ReadRule = (node) => {
  const x = node.value(0);
  if (x.shape.length !== 2 || softmaxAxis(node, 2) !== 1) return node.refuse("it is not over [N, classes]");
  return logSoftmax(x);
};
