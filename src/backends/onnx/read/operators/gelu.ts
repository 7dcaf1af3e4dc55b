import { activation, filledNumber, scale } from "../../../../graph/build.ts";
import { isOp, type Value } from "../../../../graph/value.ts";
import { type ErrorFunction, type Item, isKnown, isValue, numberOf } from "../item.ts";
import type { OnnxNode } from "../onnx-node.ts";
import type { ReadRule } from "./rule.ts";

/**
 * GELU as it is written with Erf, x / 2 * (1 + erf(x / sqrt 2)), its factors in any order (Hendrycks and Gimpel 2016).
 * The closed set has no error function, so only the whole formula can be read.
 */
export const errorFunction: ReadRule = (node) => ({ kind: "erf", argument: node.value(0), shift: 0, factor: 1 });

/** erf(u) + 1 */
export function shiftedErrorFunction(node: OnnxNode): ErrorFunction | undefined {
  const [formula, other] = split(node);
  if (formula === undefined || formula.shift === 1 || formula.factor !== 1 || numberOf(other) !== 1) return undefined;
  return { ...formula, shift: 1 };
}

/** (erf(u) + 1) * c, or * x, which is GELU where u is x / sqrt 2. */
export function timesErrorFunction(node: OnnxNode): Item | undefined {
  const [formula, other] = split(node);
  if (formula === undefined || formula.shift !== 1) return undefined;
  if (isKnown(other)) {
    const factor = numberOf(other);
    return factor === undefined ? undefined : { ...formula, factor: formula.factor * factor };
  }
  if (!isValue(other)) return undefined;
  const [x, outer] = factored(other);
  const [inside, inner] = factored(formula.argument);
  if (x !== inside || Math.abs(inner * Math.SQRT2 - 1) > 1e-5) return undefined;
  const factor = 2 * outer * formula.factor;
  const gelu = activation(x, "gelu");
  return Math.abs(factor - 1) < 1e-6 ? gelu : scale(gelu, factor);
}

function split(node: OnnxNode): [ErrorFunction, Item] | [undefined, Item] {
  const [a, b] = [node.item(0), node.item(1)];
  if (!isValue(a) && a.kind === "erf") return [a, b];
  return !isValue(b) && b.kind === "erf" ? [b, a] : [undefined, b];
}

/** x and c, where the value is x * c; else itself and 1. */
function factored(value: Value): [Value, number] {
  if (!isOp(value, "binary") || value.attrs.kind !== "mul") return [value, 1];
  const [a, b] = [value.operands[0]!, value.operands[1]!];
  const [left, right] = [filledNumber(a), filledNumber(b)];
  return right !== undefined ? [a, right] : left !== undefined ? [b, left] : [value, 1];
}
