import { abs, exp, filled, log, neg, reciprocal, sqrt } from "../../../graph/build.ts";
import type { Value } from "../../../graph/value.ts";
import { sizeOf } from "../../../tensor/shape.ts";
import { checkShape, maxComputed, realNumbers, wholeNumbers } from "./known.ts";
import * as activations from "./operators/activations.ts";
import * as binary from "./operators/binary.ts";
import { errorFunction } from "./operators/gelu.ts";
import * as images from "./operators/images.ts";
import * as layout from "./operators/layout.ts";
import * as linear from "./operators/linear.ts";
import * as reductions from "./operators/reductions.ts";
import type { ReadRule } from "./operators/rule.ts";

const elementwise =
  (build: (x: Value) => Value): ReadRule =>
  (node) =>
    build(node.value(0));

/** A tensor that is written into the graph itself. */
const constantNode: ReadRule = (node) => {
  const tensor = node.tensor("value");
  if (tensor !== undefined) return tensor;
  if (node.has("value_float")) return realNumbers([], [node.float("value_float", 0)]);
  if (node.has("value_int")) return wholeNumbers([], [node.integer("value_int", 0)]);
  const [floats, integers] = [node.floats("value_floats"), node.integers("value_ints")];
  if (node.has("value_floats") && floats !== undefined) return realNumbers([floats.length], floats);
  if (node.has("value_ints") && integers !== undefined) return wholeNumbers([integers.length], integers);
  return node.refuse("it holds no numbers");
};

const constantOfShape: ReadRule = (node) => {
  const shape = checkShape(node.numbers(0), "the result of ConstantOfShape");
  const { kind, data } = node.tensor("value") ?? realNumbers([1], [0]);
  const element = data[0] ?? node.damaged("it has no value");
  if (kind === "float" && sizeOf(shape) > maxComputed) return filled(shape, element);
  checkShape(shape, "the result of ConstantOfShape", maxComputed);
  const elements = new Float64Array(sizeOf(shape)).fill(element);
  return kind === "float" ? realNumbers(shape, elements) : wholeNumbers(shape, elements);
};

/** How each standard operator is read. */
export const readRules: Readonly<Record<string, ReadRule>> = {
  Abs: elementwise(abs),
  Add: binary.addition,
  AveragePool: images.averagePooling,
  BatchNormalization: images.batchNormalization,
  Cast: layout.cast,
  Clip: activations.clip,
  Concat: layout.concatenation,
  Constant: constantNode,
  ConstantOfShape: constantOfShape,
  Conv: images.convolution,
  Div: binary.quotient,
  Dropout: layout.dropout,
  Elu: activations.elu,
  Erf: errorFunction,
  Exp: elementwise(exp),
  Expand: layout.expansion,
  Flatten: layout.flattening,
  Gather: layout.gathering,
  Gelu: activations.gelu,
  Gemm: linear.gemm,
  GlobalAveragePool: images.globalAveragePooling,
  GlobalMaxPool: images.globalMaxPooling,
  HardSigmoid: activations.hardSigmoid,
  HardSwish: activations.named("hardSwish"),
  Identity: layout.identity,
  LayerNormalization: reductions.layerNormalization,
  LeakyRelu: activations.leakyRelu,
  Log: elementwise(log),
  LogSoftmax: activations.logarithmicSoftmax,
  MatMul: linear.matrixProduct,
  Max: binary.variadic("max"),
  MaxPool: images.maxPooling,
  Min: binary.variadic("min"),
  Mish: activations.mish,
  Mul: binary.product,
  Neg: elementwise(neg),
  PRelu: activations.parametricRelu,
  Pad: images.padding,
  Pow: binary.power,
  Reciprocal: elementwise(reciprocal),
  ReduceMax: reductions.maximum,
  ReduceMean: reductions.mean,
  ReduceSum: reductions.sum,
  Relu: activations.named("relu"),
  Reshape: layout.reshaping,
  Resize: images.resizing,
  Shape: layout.shapeOfOperand,
  Sigmoid: activations.named("sigmoid"),
  Size: layout.sizeOfOperand,
  Slice: layout.slicing,
  Softmax: activations.softmax,
  Softplus: activations.softplus,
  Split: layout.splitting,
  Sqrt: elementwise(sqrt),
  Squeeze: layout.squeezing,
  Sub: binary.subtraction,
  Sum: binary.variadic("add"),
  Tanh: activations.named("tanh"),
  Transpose: layout.transposition,
  Unsqueeze: layout.unsqueezing,
};
