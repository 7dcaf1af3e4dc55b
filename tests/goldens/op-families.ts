import { z } from "zod";
import * as g from "../../src/graph/build.ts";
import type { Value } from "../../src/graph/value.ts";
import { batchNorm } from "../../src/nn/layers/batch-norm.ts";
import { crossEntropy } from "../../src/nn/losses.ts";
import type { Named } from "../../src/tensor/tensor.ts";

type Build = (inputs: Named<Value>, attrs: unknown) => Value;

const window = z.object({ kernel: z.number(), stride: z.number(), padding: z.number() });
const size = z.object({ height: z.number(), width: z.number() });
const activationKinds = ["relu", "relu6", "sigmoid", "tanh", "hardSigmoid", "hardSwish", "silu", "gelu"] as const;

/** How each family of scripts/goldens/ops.py is built here. */
export const opFamilies: Readonly<Record<string, Build>> = {
  conv2d: ({ x, w }, attrs) =>
    g.conv2d(
      x!,
      w!,
      z.object({ stride: z.number(), padding: z.number(), dilation: z.number(), groups: z.number() }).parse(attrs),
    ),
  maxPool2d: ({ x }, attrs) => g.maxPool2d(x!, window.parse(attrs)),
  avgPool2d: ({ x }, attrs) => g.avgPool2d(x!, window.parse(attrs)),
  activation: ({ x }, attrs) => g.activation(x!, z.object({ kind: z.enum(activationKinds) }).parse(attrs).kind),
  affineSample: ({ x, theta }, attrs) =>
    g.affineSample(
      x!,
      theta!,
      size.extend({ mode: z.enum(["nearest", "bilinear"]), border: z.enum(["zeros", "reflect"]) }).parse(attrs),
    ),
  resize: ({ x }, attrs) => {
    const { height, width } = size.parse(attrs);
    return g.resize(x!, height, width);
  },
  logSoftmax: ({ x }) => g.logSoftmax(x!),
  linear: ({ x, w, b }) => {
    const y = g.matmul(x!, w!, { transB: true });
    return g.add(y, g.broadcastTo(b!, y.shape, [1]));
  },
  crossEntropy: ({ x, labels }, attrs) =>
    crossEntropy(x!, labels!, z.object({ labelSmoothing: z.number() }).parse(attrs)),
  batchNorm: ({ x, scale, bias }, attrs) =>
    normalise(x!, scale!, bias!, z.object({ eps: z.number() }).parse(attrs).eps),
  reduceMax: ({ x }, attrs) => g.reduceMax(x!, [z.object({ axis: z.number() }).parse(attrs).axis]),
  globalAvgPool: ({ x }) => g.globalAvgPool(x!),
};

/** The product's own layer, with its parameters bound to the golden's inputs. */
function normalise(x: Value, scale: Value, bias: Value, eps: number): Value {
  const layer = batchNorm("bn", x.shape[1]!, { eps });
  return layer.forward(x, {
    mode: "train",
    statistics: "batch",
    parameter: (name) => (name.endsWith(".weight") ? scale : bias),
    buffer: () => g.filled([x.shape[1]!], 0),
    updateBuffer: () => {},
    uniforms: (name, shape) => g.input(name, "float32", shape),
  });
}
