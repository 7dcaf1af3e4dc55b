import { add, broadcastTo, matmul, reshape, scale, transpose } from "../../../../graph/build.ts";
import type { Value } from "../../../../graph/value.ts";
import { spreadTo } from "../broadcasting.ts";
import type { OnnxNode } from "../onnx-node.ts";
import type { ReadRule } from "./rule.ts";

/** alpha * A * B + beta * C */
export const gemm: ReadRule = (node) => {
  const [a, b] = [node.value(0), node.value(1)];
  const [alpha, beta] = [node.float("alpha", 1), node.float("beta", 1)];
  const transA = node.integer("transA", 0) !== 0;
  // A product that keeps the batch in front is the one that a model with a free batch may hold.
  const left = transA ? turned(node, a) : a;
  const product = matmul(left, b, { transB: node.integer("transB", 0) !== 0 });
  const scaled = alpha === 1 ? product : scale(product, alpha);
  if (node.operands[2] === undefined || beta === 0) return scaled;
  const bias = spreadOver(node, node.value(2), scaled);
  return add(scaled, beta === 1 ? bias : scale(bias, beta));
};

function turned(node: OnnxNode, x: Value): Value {
  return x.shape.length === 2 ? transpose(x, [1, 0]) : node.damaged(`its operand is [${x.shape}]`);
}

function spreadOver(node: OnnxNode, x: Value, { shape }: Value): Value {
  const offset = shape.length - x.shape.length;
  const fits = offset >= 0 && x.shape.every((dim, i) => dim === 1 || dim === shape[offset + i]);
  return fits ? spreadTo(x, shape) : node.damaged(`[${x.shape}] does not fit to [${shape}]`);
}

/** Matrices, or batches of matrices; the right one may be the same for the whole batch. */
export const matrixProduct: ReadRule = (node) => {
  const [a, b] = [node.value(0), node.value(1)];
  const [ranks, fits] = [`[${a.shape}] and [${b.shape}]`, a.shape.length >= 2 && b.shape.length >= 2];
  if (!fits) return node.refuse(`it multiplies ${ranks}`);
  if (a.shape.length === b.shape.length && a.shape.length <= 3) {
    return a.shape.length === 3 && a.shape[0] !== b.shape[0] ? node.refuse(`it repeats one of ${ranks}`) : matmul(a, b);
  }
  if (b.shape.length !== 2) return node.refuse(`it multiplies ${ranks}`);
  const [n] = a.shape;
  const [inner, columns] = b.shape;
  const rows = reshape(a, [n!, a.shape.slice(1, -1).reduce((x, y) => x * y, 1), a.shape.at(-1)!]);
  const product = matmul(rows, broadcastTo(b, [n!, inner!, columns!], [1, 2]));
  return reshape(product, [...a.shape.slice(0, -1), columns!]);
};
