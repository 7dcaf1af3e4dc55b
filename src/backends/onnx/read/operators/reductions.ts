import {
  add,
  mul,
  reciprocal,
  reduceMax,
  reduceSum,
  reshape,
  scale,
  shift,
  sqrt,
  sub,
} from "../../../../graph/build.ts";
import type { Value } from "../../../../graph/value.ts";
import { spreadTo } from "../broadcasting.ts";
import type { OnnxNode } from "../onnx-node.ts";
import type { ReadRule } from "./rule.ts";

interface Reduction {
  readonly x: Value;
  readonly axes: readonly number[];
  /** Of the result: with ones where axes are gone, or without them. */
  readonly shape: readonly number[];
}

function reductionOf(node: OnnxNode): Reduction {
  const x = node.value(0);
  const given = node.numbersAt(1, "axes") ?? [];
  const all = given.length === 0 && node.integer("noop_with_empty_axes", 0) === 0;
  const rank = x.shape.length;
  const axes = all ? x.shape.map((_, i) => i) : [...new Set(given.map((axis) => node.axis(axis, rank)))];
  const kept = node.integer("keepdims", 1) !== 0;
  const shape = x.shape.flatMap((dim, i) => (!axes.includes(i) ? [dim] : kept ? [1] : []));
  return { x, axes, shape };
}

export const sum: ReadRule = (node) => {
  const { x, axes, shape } = reductionOf(node);
  return reshape(reduceSum(x, axes), shape);
};

export const mean: ReadRule = (node) => {
  const { x, axes, shape } = reductionOf(node);
  return reshape(meanOver(x, axes), shape);
};

export const maximum: ReadRule = (node) => {
  const { x, axes, shape } = reductionOf(node);
  return axes.length === 0 ? x : reshape(reduceMax(x, axes), shape);
};

function meanOver(x: Value, axes: readonly number[]): Value {
  const count = axes.reduce((product, axis) => product * x.shape[axis]!, 1);
  return scale(reduceSum(x, axes), 1 / count);
}

/** Over the dimensions from `axis` on (Ba et al. 2016). */
export const layerNormalization: ReadRule = (node) => {
  const x = node.value(0);
  if (node.outputs.length > 1) return node.refuse("its statistics are asked for");
  const first = node.axis(node.integer("axis", -1), x.shape.length);
  const axes = x.shape.map((_, i) => i).slice(first);
  const along = (reduced: Value): Value =>
    spreadTo(reshape(reduced, [...x.shape.slice(0, first), ...axes.map(() => 1)]), x.shape);
  const centred = sub(x, along(meanOver(x, axes)));
  const variance = meanOver(mul(centred, centred), axes);
  const normal = mul(centred, along(reciprocal(sqrt(shift(variance, node.float("epsilon", 1e-5))))));
  const over = (index: number): Value => {
    const parameter = node.value(index);
    const fits = parameter.shape.join() === x.shape.slice(first).join();
    return fits ? spreadTo(parameter, x.shape) : node.damaged(`operand ${index} is [${parameter.shape}]`);
  };
  const scaled = mul(normal, over(1));
  return node.operands[2] === undefined ? scaled : add(scaled, over(2));
};
