import { describe, expect, it } from "vitest";
import { exportInferenceModel } from "../../src/backends/onnx/export.ts";
import { loadInferenceModel } from "../../src/backends/onnx/inference-model.ts";
import { type Attribute, ModelWriter } from "../../src/backends/onnx/model-writer.ts";
import { readModel } from "../../src/backends/onnx/read-model.ts";
import { floatData, floats } from "../../src/tensor/tensor.ts";

const [height, width] = [7, 6];
const images = floats(
  [2, 3, height, width],
  Float32Array.from({ length: 6 * height * width }, (_, i) => 2.5 * Math.sin(i * i * 0.21)),
);
const some = (shape: readonly number[], seed = 1): [readonly number[], Float32Array] => [
  shape,
  Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.cos((i + 3) * seed * 1.7)),
];

type Build = (w: ModelWriter, x: string) => string;
/** One operator with attributes. */
const one =
  (type: string, attributes: Record<string, Attribute> = {}): Build =>
  (w, x) =>
    w.op(type, [x], attributes);
const half = { float: 0.5 };
const window = { kernel_shape: [3, 2], strides: [2, 2], pads: [1, 1, 1, 0] };
const erf = (w: ModelWriter, x: string): string =>
  w.op("Add", [w.op("Erf", [w.op("Div", [x, w.float(Math.SQRT2)])]), w.float(1)]);

/** What follows is compared with onnxruntime on the very file. */
const cases: Readonly<Record<string, Build>> = {
  abs: one("Abs"),
  "average pooling": one("AveragePool", { ...window, count_include_pad: 1 }),
  "average pooling of the image alone": one("AveragePool", window),
  "average pooling with ceil_mode": one("AveragePool", { ...window, ceil_mode: 1 }),
  "batch norm": (w, x) => {
    const variance: [readonly number[], Float32Array] = [[3], Float32Array.of(0.5, 1, 2)];
    const parameters = [some([3], 1), some([3], 2), some([3], 3), variance].map((one) => w.floats(...one));
    return w.op("BatchNormalization", [x, ...parameters], { epsilon: { float: 1e-3 } });
  },
  clip: (w, x) => w.op("Clip", [x, w.float(-1), w.float(1.5)]),
  "clip from below": (w, x) => w.op("Clip", [x, w.float(0.5)]),
  "convolution, dilated, in groups": (w, x) =>
    w.op("Conv", [x, w.floats(...some([6, 1, 2, 3])), w.floats(...some([6], 2))], {
      group: 3,
      dilations: [2, 1],
      pads: [1, 0, 0, 1],
    }),
  "convolution with SAME_UPPER": (w, x) =>
    w.op("Conv", [x, w.floats(...some([4, 3, 3, 2]))], { auto_pad: "SAME_UPPER", strides: [2, 2] }),
  "convolution with SAME_LOWER": (w, x) =>
    w.op("Conv", [x, w.floats(...some([4, 3, 2, 2]))], { auto_pad: "SAME_LOWER", strides: [2, 1] }),
  "division by channels": (w, x) => w.op("Div", [x, w.floats([3, 1, 1], Float32Array.of(0.2, 0.3, -2))]),
  elu: one("Elu", { alpha: half }),
  "exp and log": (w, x) => w.op("Log", [w.op("Add", [w.op("Exp", [x]), w.float(1)])]),
  gather: (w, x) => w.op("Gather", [x, w.ints([2, 0, -1])], { axis: 1 }),
  gelu: one("Gelu"),
  "gelu by tanh": one("Gelu", { approximate: "tanh" }),
  "gelu by Erf": (w, x) => w.op("Mul", [w.op("Mul", [x, erf(w, x)]), w.float(0.5)]),
  "gelu by Erf, half of x first": (w, x) => w.op("Mul", [w.op("Mul", [x, w.float(0.5)]), erf(w, x)]),
  "gelu by Erf, half of the rest first": (w, x) => w.op("Mul", [x, w.op("Mul", [w.float(0.5), erf(w, x)])]),
  "gemm with factors": (w, x) =>
    w.op("Gemm", [w.op("Flatten", [x]), w.floats(...some([126, 4])), w.floats(...some([1, 4], 2))], {
      alpha: half,
      beta: { float: 2 },
    }),
  "global maximum": one("GlobalMaxPool"),
  "hard sigmoid": one("HardSigmoid"),
  "hard swish": one("HardSwish"),
  "layer norm": (w, x) =>
    w.op("LayerNormalization", [w.transpose(x, [0, 2, 3, 1]), w.floats(...some([3])), w.floats(...some([3], 2))]),
  "leaky relu": one("LeakyRelu", { alpha: { float: 0.2 } }),
  "leaky relu, steep": one("LeakyRelu", { alpha: { float: 1.5 } }),
  "matrices of images": (w, x) => w.op("MatMul", [x, w.floats(...some([width, 4]))]),
  "matrices among images": (w, x) => {
    const rows = w.op("Reshape", [x, w.ints([0, 3, -1])]);
    return w.op("Softmax", [w.op("MatMul", [rows, w.transpose(rows, [0, 2, 1])])], { axis: -1 });
  },
  "max pooling with ceil_mode": one("MaxPool", { ...window, ceil_mode: 1 }),
  "maximum of many": (w, x) => w.op("Max", [x, w.float(0.1), w.floats(...some([3, 1, 1]))]),
  mish: one("Mish"),
  pad: (w, x) => w.op("Pad", [x, w.ints([0, 0, 1, 0, 0, 1, 0, 2])]),
  "parametric relu": (w, x) => w.op("PRelu", [x, w.floats(...some([3, 1, 1]))]),
  power: (w, x) => w.op("Pow", [x, w.float(2)]),
  reductions: (w, x) => w.op("Sub", [w.op("ReduceMean", [x, w.ints([2])]), w.op("ReduceMax", [x, w.ints([-1])])]),
  "reciprocal root": (w, x) => w.op("Reciprocal", [w.op("Sqrt", [w.op("Add", [w.op("Abs", [x]), w.float(1)])])]),
  resize: (w, x) =>
    w.op("Resize", [x, "", w.floats([4], Float32Array.of(1, 1, 2, 0.5))], {
      mode: "linear",
      coordinate_transformation_mode: "half_pixel",
    }),
  "slices in steps": (w, x) => w.op("Slice", [x, w.ints([1, -1]), w.ints([6, -100]), w.ints([2, 3]), w.ints([2, -1])]),
  softplus: one("Softplus"),
  split: (w, x) => {
    const [a, b] = w.ops("Split", [x, w.ints([2, 1])], { axis: 1 }, { outputs: 2 }) as [string, string];
    return w.op("Concat", [w.op("Neg", [b]), a], { axis: 1 });
  },
  squeeze: (w, x) => w.op("Squeeze", [w.op("Unsqueeze", [x, w.ints([1, -1])]), w.ints([1])]),
};

describe("an operator that is read", () => {
  it.each(Object.entries(cases))("gives what onnxruntime does: %s", async (_, build) => {
    const w = new ModelWriter("case");
    w.input("x", "float32", ["n", 3, height, width]);
    w.alias(w.op("Flatten", [build(w, "x")]), "y");
    w.output("y", "float32", ["n", "classes"]);
    const file = w.finish();
    const read = readModel(file, { batch: 3 });
    await using original = await loadInferenceModel(file);
    await using model = await loadInferenceModel(await exportInferenceModel(read.graph, read.weights));
    const expected = floatData((await original.run({ x: images })).y!);
    const found = floatData((await model.run({ images })).logits!);
    expect(found.length).toBe(expected.length);
    const largest = expected.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    expect(largest).toBeGreaterThan(0.1);
    const apart = expected.reduce((max, value, i) => Math.max(max, Math.abs(value - found[i]!)), 0);
    expect(apart / largest).toBeLessThan(1e-5);
  });
});
