import { add, broadcastTo, matmul } from "../../graph/build.ts";
import { type Initializer, pytorchBiasInit, pytorchWeightInit } from "../initializers.ts";
import type { Module } from "../module.ts";
import type { ParameterSpec } from "../parameter.ts";

export interface LinearOptions {
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly bias?: "none" | "trained";
  readonly weightInit?: Initializer;
  readonly biasInit?: Initializer;
}

/** x [N, in] -> [N, out]: `NAME.weight` [out, in] and, unless "none", `NAME.bias` [out]. */
export function linear(name: string, options: LinearOptions): Module {
  const { inFeatures, outFeatures, bias = "trained" } = options;
  const parameters: ParameterSpec[] = [
    {
      name: `${name}.weight`,
      shape: [outFeatures, inFeatures],
      kind: "linear",
      init: options.weightInit ?? pytorchWeightInit,
      trainable: true,
    },
  ];
  if (bias === "trained") {
    parameters.push({
      name: `${name}.bias`,
      shape: [outFeatures],
      kind: "bias",
      init: options.biasInit ?? pytorchBiasInit(inFeatures),
      trainable: true,
    });
  }
  return {
    parameters,
    buffers: [],
    forward(x, ctx) {
      const y = matmul(x, ctx.parameter(`${name}.weight`), { transB: true });
      return bias === "none" ? y : add(y, broadcastTo(ctx.parameter(`${name}.bias`), y.shape, [1]));
    },
  };
}
