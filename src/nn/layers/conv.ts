import { channelAffine, conv2d as convolve, filled } from "../../graph/build.ts";
import { type Initializer, pytorchBiasInit, pytorchWeightInit } from "../initializers.ts";
import type { Module } from "../module.ts";
import type { ParameterSpec } from "../parameter.ts";

export interface ConvLayerOptions {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernel: number;
  readonly stride?: number;
  readonly padding?: number;
  readonly dilation?: number;
  readonly groups?: number;
  readonly bias?: "none" | "trained";
  readonly weight?: "trained" | "frozen";
  readonly weightInit?: Initializer;
  readonly biasInit?: Initializer;
}

/** 2-D convolution: `NAME.weight` [out, in / groups, k, k] and, where asked, `NAME.bias` [out]. */
export function conv2d(name: string, options: ConvLayerOptions): Module {
  const { inChannels, outChannels, kernel, groups = 1, bias = "none", weight = "trained" } = options;
  const fanIn = (inChannels / groups) * kernel * kernel;
  const parameters: ParameterSpec[] = [
    {
      name: `${name}.weight`,
      shape: [outChannels, inChannels / groups, kernel, kernel],
      kind: "filter",
      init: options.weightInit ?? pytorchWeightInit,
      trainable: weight === "trained",
    },
  ];
  if (bias === "trained") {
    parameters.push({
      name: `${name}.bias`,
      shape: [outChannels],
      kind: "bias",
      init: options.biasInit ?? pytorchBiasInit(fanIn),
      trainable: true,
    });
  }
  return {
    parameters,
    buffers: [],
    forward(x, ctx) {
      const y = convolve(x, ctx.parameter(`${name}.weight`), options);
      if (bias === "none") return y;
      return channelAffine(y, filled([outChannels], 1), ctx.parameter(`${name}.bias`));
    },
  };
}
