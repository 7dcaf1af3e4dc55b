import {
  activation as activate,
  add,
  broadcastTo,
  channelAffine,
  filled,
  globalAvgPool,
  matmul,
  reshape,
} from "../../graph/build.ts";
import type { ActivationKind } from "../../graph/ops.ts";
import type { Value } from "../../graph/value.ts";
import { type Initializer, pytorchBiasInit, pytorchWeightInit } from "../initializers.ts";
import type { ForwardContext, Module } from "../module.ts";
import type { ParameterSpec } from "../parameter.ts";

export interface SqueezeExcitationOptions {
  readonly channels: number;
  /** Of the bottleneck between the two layers. */
  readonly squeezeChannels: number;
  /** Behind the first layer. */
  readonly activation?: ActivationKind;
  /** Behind the second layer, whose results are the factors of the channels. */
  readonly gate?: ActivationKind;
  readonly weightInit?: Initializer;
  /** Default: PyTorch's for convolutions. */
  readonly biasInit?: Initializer;
}

/**
 * Squeeze-and-excitation (Hu et al. 2018): [N, C, H, W] times a factor for each image and channel, which two layers
 * compute from the channels' means.
 *
 * Names and shapes are torchvision's, whose layers are 1x1 convolutions: `NAME.fc1.weight` [squeeze, C, 1, 1],
 * `NAME.fc1.bias`, `NAME.fc2.weight` [C, squeeze, 1, 1], `NAME.fc2.bias`. On means they are matrix products [N, C].
 */
export function squeezeExcitation(name: string, options: SqueezeExcitationOptions): Module {
  const { channels, squeezeChannels, activation = "relu", gate = "sigmoid", weightInit = pytorchWeightInit } = options;
  const parameters = (layer: string, inputs: number, outputs: number): ParameterSpec[] => [
    { name: `${layer}.weight`, shape: [outputs, inputs, 1, 1], kind: "filter", init: weightInit, trainable: true },
    {
      name: `${layer}.bias`,
      shape: [outputs],
      kind: "bias",
      init: options.biasInit ?? pytorchBiasInit(inputs),
      trainable: true,
    },
  ];
  return {
    parameters: [
      ...parameters(`${name}.fc1`, channels, squeezeChannels),
      ...parameters(`${name}.fc2`, squeezeChannels, channels),
    ],
    buffers: [],
    forward(x, ctx) {
      const hidden = activate(pointwise(`${name}.fc1`, globalAvgPool(x), ctx), activation);
      const factors = activate(pointwise(`${name}.fc2`, hidden, ctx), gate);
      return channelAffine(x, factors, filled(factors.shape, 0));
    },
  };
}

/** A 1x1 convolution with bias of descriptors [N, in] -> [N, out]. */
function pointwise(name: string, descriptors: Value, ctx: ForwardContext): Value {
  const filters = ctx.parameter(`${name}.weight`);
  const weight = reshape(filters, filters.shape.slice(0, 2));
  const y = matmul(descriptors, weight, { transB: true });
  return add(y, broadcastTo(ctx.parameter(`${name}.bias`), y.shape, [1]));
}
