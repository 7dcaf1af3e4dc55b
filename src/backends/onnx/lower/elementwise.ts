import type { ActivationKind, BinaryKind, UnaryKind } from "../../../graph/ops.ts";
import type { Shape } from "../../../tensor/shape.ts";
import type { ModelWriter } from "../model-writer.ts";

/** Element-by-element formulas over names in any one layout. */

export const unaryOps: Record<UnaryKind, string> = {
  neg: "Neg",
  exp: "Exp",
  log: "Log",
  sqrt: "Sqrt",
  reciprocal: "Reciprocal",
  abs: "Abs",
};

const binaryOps: Record<BinaryKind, string> = {
  add: "Add",
  sub: "Sub",
  mul: "Mul",
  div: "Div",
  max: "Max",
  min: "Min",
};

/**
 * A binary operation on tensors of `shape` in memory, or on one tensor and a scalar. With ones at the end of a shape
 * onnxruntime's arithmetic with a scalar goes element by element, 70 times slower: such a tensor is taken flat.
 */
export function arithmetic(
  w: ModelWriter,
  kind: BinaryKind,
  operands: readonly { readonly name: string; readonly scalar: boolean }[],
  shape: Shape,
): string {
  const slow = shape.at(-1) === 1 && operands.some(({ scalar }) => scalar) && operands.some(({ scalar }) => !scalar);
  const names = operands.map(({ name, scalar }) => (slow && !scalar ? w.reshape(name, [-1]) : name));
  const result = w.op(binaryOps[kind], names);
  return slow ? w.reshape(result, shape) : result;
}

/** Steep enough that any normal float leaves the ramp: HardSigmoid(STEEP * x) is 1 for x > 0 and 0 for x <= 0. */
const STEEP = 1e30;

/** 1 where x > threshold, else 0. (Where, Sign and Greater are an order of magnitude slower in onnxruntime.) */
function above(w: ModelWriter, x: string, threshold: number): string {
  const shifted = threshold === 0 ? x : w.op("Sub", [x, w.float(threshold)]);
  return w.op("HardSigmoid", [shifted], { alpha: { float: STEEP }, beta: { float: 0 } });
}

/** 1 where x < threshold, else 0. */
function below(w: ModelWriter, x: string, threshold: number): string {
  return above(w, w.op("Sub", [w.float(threshold), x]), 0);
}

const hardSigmoid = (w: ModelWriter, x: string): string =>
  w.op("HardSigmoid", [x], { alpha: { float: 1 / 6 }, beta: { float: 0.5 } });

export function activationFormula(w: ModelWriter, kind: ActivationKind, x: string, portable: boolean): string {
  switch (kind) {
    case "relu":
      return w.op("Relu", [x]);
    case "relu6":
      return w.op("Clip", [x, w.float(0), w.float(6)]);
    case "sigmoid":
      return w.op("Sigmoid", [x]);
    case "tanh":
      return w.op("Tanh", [x]);
    case "hardSigmoid":
      return hardSigmoid(w, x);
    case "hardSwish":
      return w.op("Mul", [x, hardSigmoid(w, x)]);
    case "silu":
      return portable
        ? w.op("Mul", [x, w.op("Sigmoid", [x])])
        : w.op("QuickGelu", [x], { alpha: { float: 1 } }, { domain: "com.microsoft" });
    case "gelu":
      return portable ? w.op("Gelu", [x]) : w.op("Gelu", [x], {}, { domain: "com.microsoft" });
    default:
      return kind satisfies never;
  }
}

/** dx from what the activation saved (see activationSaves) and dy. */
export function activationGradFormula(
  w: ModelWriter,
  kind: ActivationKind,
  saved: readonly string[],
  dy: string,
): string {
  const s = saved[0]!;
  const one = w.float(1);
  const mul = (a: string, b: string): string => w.op("Mul", [a, b]);
  switch (kind) {
    case "relu":
      return mul(dy, above(w, s, 0));
    case "relu6":
      return mul(mul(dy, above(w, s, 0)), below(w, s, 6));
    case "sigmoid":
      return mul(dy, mul(s, w.op("Sub", [one, s])));
    case "tanh":
      return mul(dy, w.op("Sub", [one, mul(s, s)]));
    case "hardSigmoid":
      return mul(mul(mul(dy, w.float(1 / 6)), above(w, s, 0)), below(w, s, 1));
    case "hardSwish": {
      // With c = x cut to [-3, 3]: c / 3 + 1/2 inside, 1 above, 0 below; c - x is exactly 0 inside, and outside so large
      // for this slope that it leaves the ramp of the hard sigmoid.
      const cut = w.op("Clip", [s, w.float(-3), w.float(3)]);
      const steep = { alpha: { float: 2 ** 24 }, beta: { float: 0.5 } };
      const side = w.op("HardSigmoid", [w.op("Sub", [cut, s])], steep);
      const slope = w.op("Add", [mul(cut, w.float(1 / 3)), side]);
      return mul(dy, slope);
    }
    case "silu": {
      // y' = s + y (1 - s) with s = sigmoid(x): dx = (dy - dy y) s + dy y
      const gate = w.op("Sigmoid", [s]);
      const product = mul(dy, saved[1]!);
      return w.op("Add", [mul(w.op("Sub", [dy, product]), gate), product]);
    }
    case "gelu": {
      // Phi(x) + x phi(x) with v = x / sqrt 2: (1 + erf v) / 2 + v exp(-v^2) / sqrt pi
      const v = mul(s, w.float(Math.SQRT1_2));
      const cdf = w.op("Add", [mul(w.op("Erf", [v]), w.float(0.5)), w.float(0.5)]);
      const density = mul(mul(v, w.op("Exp", [w.op("Neg", [mul(v, v)])])), w.float(1 / Math.sqrt(Math.PI)));
      return mul(dy, w.op("Add", [cdf, density]));
    }
    default:
      return kind satisfies never;
  }
}
