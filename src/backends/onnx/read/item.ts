import { constant } from "../../../graph/build.ts";
import type { Value } from "../../../graph/value.ts";
import type { Shape } from "../../../tensor/shape.ts";
import { type Known, toTensor } from "./known.ts";

/** factor * (erf(argument) + shift): what GELU is written with before it has an operator of its own. */
export interface ErrorFunction {
  readonly kind: "erf";
  readonly argument: Value;
  readonly shift: 0 | 1;
  readonly factor: number;
}

/** What a name of the file stands for: a value of the graph, a known tensor, or a part of a formula. */
export type Item = Value | Known | ErrorFunction;

export function isValue(item: Item): item is Value {
  return "op" in item;
}

export function isKnown(item: Item): item is Known {
  return !isValue(item) && item.kind !== "erf";
}

export function shapeOf(item: Item): Shape {
  return isValue(item) ? item.shape : item.kind === "erf" ? item.argument.shape : item.shape;
}

/** A known tensor as a constant of the graph; whole numbers are none. */
export function floatValue(item: Item): Value | undefined {
  if (isValue(item)) return item;
  return item.kind === "float" ? constant(toTensor(item)) : undefined;
}

/** The one number that a known tensor is filled with, or that a scalar is. */
export function numberOf(item: Item): number | undefined {
  if (!isKnown(item)) return undefined;
  const [first] = item.data;
  return first !== undefined && item.data.every((element) => element === first) ? first : undefined;
}
