import * as g from "../../../src/graph/build.ts";
import type { Value } from "../../../src/graph/value.ts";
import { type CaseInput, normal, type OpCase, uniform } from "../op-case.ts";

/** Batch normalisation over the batch's own statistics: scale * (x - mean) / sqrt(E[x^2] - mean^2 + eps) + bias. */
function batchNorm(x: Value, scale: Value, bias: Value): Value {
  const count = x.shape[0]! * x.shape[2]! * x.shape[3]!;
  const mean = g.scale(g.reduceSum(g.reduceSum(x, [2, 3]), [0]), 1 / count);
  const square = g.scale(g.reduceSum(g.spatialDot(x, x), [0]), 1 / count);
  const variance = g.sub(square, g.mul(mean, mean));
  const factor = g.mul(scale, g.reciprocal(g.sqrt(g.shift(variance, 1e-5))));
  return g.channelAffine(x, factor, g.sub(bias, g.mul(mean, factor)));
}

function weight(...shape: readonly [number, number, number, number]): CaseInput {
  const bound = Math.sqrt(6 / (shape[1] * shape[2] * shape[3]));
  return uniform(-bound, bound, ...shape);
}

const scaleOf = (channels: number): CaseInput => uniform(0.5, 1.5, channels);

/** Smooth where a finite difference would cross a kink of ReLU, so that the same cases serve gradient checks. */
function blockCase(
  title: string,
  activation: "relu" | "silu" | "gelu" | "hardSwish",
  [batch, channels, size]: readonly [number, number, number],
  width: number,
): OpCase {
  return {
    title,
    inputs: {
      x: normal(batch, channels, size, size),
      conv1: weight(width, channels, 3, 3),
      scale1: scaleOf(width),
      bias1: normal(width),
      conv2: weight(width, width, 3, 3),
      scale2: scaleOf(width),
      bias2: normal(width),
    },
    build: ({ x, conv1, scale1, bias1, conv2, scale2, bias2 }) => {
      const first = g.activation(batchNorm(g.conv2d(x!, conv1!, { padding: 1 }), scale1!, bias1!), activation);
      const pooled = g.maxPool2d(first, { kernel: 2 });
      const second = batchNorm(g.conv2d(pooled, conv2!, { padding: 1 }), scale2!, bias2!);
      return g.globalAvgPool(g.activation(g.add(second, pooled), activation));
    },
    winograd: true,
  };
}

/** Chains of operations as the models build them, where a backend may fuse or change the layout. */
export const composedCases: readonly OpCase[] = [
  blockCase("conv, batch norm, ReLU, max pool, residual: 16 channels", "relu", [16, 16, 8], 16),
  blockCase("conv, batch norm, ReLU, max pool, residual: 3 to 24 channels", "relu", [5, 3, 8], 24),
  blockCase("conv, batch norm, GELU, max pool, residual: 3 to 16 channels", "gelu", [8, 3, 8], 16),
  blockCase("conv, batch norm, SiLU, max pool, residual: 16 to 32 channels", "silu", [3, 16, 6], 32),
  blockCase("conv, batch norm, hard-swish, max pool, residual: odd size", "hardSwish", [4, 8, 7], 40),
  {
    title: "batch norm with a mean of several deviations",
    inputs: { x: uniform(2, 4, 8, 16, 6, 6), scale: scaleOf(16), bias: normal(16) },
    build: ({ x, scale, bias }) => batchNorm(x!, scale!, bias!),
  },
  {
    title: "pool before batch norm, as airbench",
    inputs: { x: normal(4, 24, 8, 8), conv: weight(32, 24, 3, 3), scale: scaleOf(32), bias: normal(32) },
    build: ({ x, conv, scale, bias }) => {
      const pooled = g.maxPool2d(g.conv2d(x!, conv!, { padding: 1 }), { kernel: 2 });
      return g.activation(batchNorm(pooled, scale!, bias!), "gelu");
    },
    winograd: true,
  },
  {
    title: "inverted residual with squeeze-excitation",
    inputs: {
      x: normal(3, 16, 7, 7),
      expand: weight(72, 16, 1, 1),
      scale: scaleOf(72),
      bias: normal(72),
      depthwise: weight(72, 1, 5, 5),
      squeeze: weight(24, 72, 1, 1),
      squeezeBias: normal(24),
      excite: weight(72, 24, 1, 1),
      exciteBias: normal(72),
      project: weight(16, 72, 1, 1),
    },
    build: ({ x, expand, scale, bias, depthwise, squeeze, squeezeBias, excite, exciteBias, project }) => {
      const wide = g.activation(batchNorm(g.conv2d(x!, expand!), scale!, bias!), "hardSwish");
      const deep = g.conv2d(wide, depthwise!, { padding: 2, groups: 72 });
      const [batch, channels] = [deep.shape[0]!, deep.shape[1]!];
      const mean = g.reshape(g.globalAvgPool(deep), [batch, channels, 1, 1]);
      const ones = (count: number): Value => g.filled([count], 1);
      const reduced = g.activation(g.channelAffine(g.conv2d(mean, squeeze!), ones(24), squeezeBias!), "silu");
      const gate = g.activation(g.channelAffine(g.conv2d(reduced, excite!), ones(72), exciteBias!), "hardSigmoid");
      const gated = g.channelAffine(deep, g.reshape(gate, [batch, channels]), g.filled([batch, channels], 0));
      return g.add(g.conv2d(gated, project!), x!);
    },
  },
  {
    title: "dense block: concatenated channels, 1x1, average pool",
    inputs: {
      x: normal(2, 24, 6, 6),
      grow1: weight(12, 24, 3, 3),
      grow2: weight(12, 36, 3, 3),
      scale: scaleOf(48),
      bias: normal(48),
      transition: weight(24, 48, 1, 1),
    },
    build: ({ x, grow1, grow2, scale, bias, transition }) => {
      const first = g.concat([x!, g.conv2d(x!, grow1!, { padding: 1 })], 1);
      const second = g.concat([first, g.conv2d(first, grow2!, { padding: 1 })], 1);
      const narrowed = g.conv2d(g.activation(batchNorm(second, scale!, bias!), "silu"), transition!);
      return g.avgPool2d(narrowed, { kernel: 2 });
    },
    winograd: true,
  },
  {
    title: "strided residual block with grouped convolution, as RegNet",
    inputs: {
      x: normal(2, 24, 8, 8),
      a: weight(48, 24, 1, 1),
      scale: scaleOf(48),
      bias: normal(48),
      b: weight(48, 8, 3, 3),
      shortcut: weight(48, 24, 1, 1),
    },
    build: ({ x, a, scale, bias, b, shortcut }) => {
      const wide = g.activation(batchNorm(g.conv2d(x!, a!), scale!, bias!), "silu");
      const strided = g.conv2d(wide, b!, { padding: 1, stride: 2, groups: 6 });
      return g.add(strided, g.conv2d(x!, shortcut!, { stride: 2 }));
    },
  },
  {
    title: "classifier and label smoothing",
    inputs: { x: normal(16, 32, 2, 2), weight: uniform(-0.3, 0.3, 10, 32), bias: normal(10) },
    build: ({ x, weight: matrix, bias }) => {
      const logits = g.add(
        g.matmul(g.globalAvgPool(x!), matrix!, { transB: true }),
        g.broadcastTo(bias!, [16, 10], [1]),
      );
      return g.scale(g.reduceSum(g.logSoftmax(logits), [1]), -0.1);
    },
  },
];
