import * as g from "../../graph/build.ts";
import type { Value } from "../../graph/value.ts";
import { zerosInit } from "../initializers.ts";
import type { ForwardContext, Module } from "../module.ts";
import { batchNorm } from "./batch-norm.ts";
import { conv2d } from "./conv.ts";
import { linear } from "./linear.ts";
import { activation } from "./pointwise.ts";

/**
 * Channel attention of CBAM (Woo et al. 2018): factors [N, C] between 0 and 1 of the channels of [N, C, H, W]. One
 * perceptron C -> C / ratio -> C (`NAME.fc1`, `NAME.fc2`, without biases) sees the means and the maxima over the
 * positions; the sigmoid of the sum of its answers is the factor.
 */
export function channelAttention(
  name: string,
  { channels, ratio }: { readonly channels: number; readonly ratio: number },
): Module {
  const hidden = Math.max(1, Math.floor(channels / ratio));
  const squeeze = linear(`${name}.fc1`, { inFeatures: channels, outFeatures: hidden, bias: "none" });
  const expand = linear(`${name}.fc2`, { inFeatures: hidden, outFeatures: channels, bias: "none" });
  const relu = activation("relu");
  const answer = (descriptor: Value, ctx: ForwardContext): Value =>
    expand.forward(relu.forward(squeeze.forward(descriptor, ctx), ctx), ctx);
  return {
    parameters: [...squeeze.parameters, ...expand.parameters],
    buffers: [],
    forward: (x, ctx) =>
      g.activation(g.add(answer(g.globalAvgPool(x), ctx), answer(g.reduceMax(x, [2, 3]), ctx)), "sigmoid"),
  };
}

/**
 * Spatial attention of CBAM: factors [N, 1, H, W] between 0 and 1 of the positions of [N, C, H, W], from a 7x7
 * convolution (`NAME.conv`) with batch norm (`NAME.bn`) over the mean and the maximum of the channels.
 */
export function spatialAttention(name: string): Module {
  const conv = conv2d(`${name}.conv`, { inChannels: 2, outChannels: 1, kernel: 7, padding: 3 });
  const norm = batchNorm(`${name}.bn`, 1);
  return {
    parameters: [...conv.parameters, ...norm.parameters],
    buffers: norm.buffers,
    forward(x, ctx) {
      const [n, c, h, w] = x.shape as readonly [number, number, number, number];
      const plane = (value: Value): Value => g.reshape(value, [n, 1, h, w]);
      const mean = plane(g.scale(g.reduceSum(x, [1]), 1 / c));
      const descriptors = g.concat([mean, plane(g.reduceMax(x, [1]))], 1);
      return g.activation(norm.forward(conv.forward(descriptors, ctx), ctx), "sigmoid");
    },
  };
}

/** A learned mixing weight: the sigmoid of `NAME` [1], at first 1/2. */
export function gate(name: string): Module {
  return {
    parameters: [{ name, shape: [1], kind: "bias", init: zerosInit, trainable: true }],
    buffers: [],
    forward: (x, ctx) =>
      g.mul(x, g.broadcastTo(g.reshape(g.activation(ctx.parameter(name), "sigmoid"), []), x.shape, [])),
  };
}
