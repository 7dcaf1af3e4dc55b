import { add, channelAffine, mul, reciprocal, scale, shift, sqrt, sub } from "../../graph/build.ts";
import type { Value } from "../../graph/value.ts";
import { constantInit, onesInit, zerosInit } from "../initializers.ts";
import type { ForwardContext, Module } from "../module.ts";
import { type BatchStatistics, batchStatistics } from "./batch-statistics.ts";

export interface BatchNormOptions {
  readonly eps?: number;
  /** Share of the new batch in the running statistics (PyTorch's meaning). */
  readonly momentum?: number;
  /** A frozen scale stays at 1. */
  readonly scale?: "trained" | "frozen";
  readonly scaleInit?: number;
}

/**
 * Batch normalisation over N, H and W (Ioffe and Szegedy 2015) with PyTorch's names: `NAME.weight`, `NAME.bias`,
 * `NAME.running_mean`, `NAME.running_var` (unbiased). A frozen scale is no parameter.
 */
export function batchNorm(name: string, channels: number, options: BatchNormOptions = {}): Module {
  const { eps = 1e-5, momentum = 0.1, scale: scaleMode = "trained", scaleInit = 1 } = options;
  const shape = [channels];
  const scaleOf = (ctx: ForwardContext, inverse: Value): Value =>
    scaleMode === "trained" ? mul(ctx.parameter(`${name}.weight`), inverse) : inverse;
  const normalise = ({ mean, variance, affine }: BatchStatistics, ctx: ForwardContext): Value => {
    const inverse = reciprocal(sqrt(shift(variance, eps)));
    const factor = scaleOf(ctx, inverse);
    return affine(factor, sub(ctx.parameter(`${name}.bias`), mul(mean, factor)));
  };
  return {
    parameters: [
      ...(scaleMode === "trained"
        ? [
            {
              name: `${name}.weight`,
              shape,
              kind: "normScale",
              init: constantInit(scaleInit),
              trainable: true,
            } as const,
          ]
        : []),
      { name: `${name}.bias`, shape, kind: "normBias", init: zerosInit, trainable: true },
    ],
    buffers: [
      { name: `${name}.running_mean`, shape, init: zerosInit },
      { name: `${name}.running_var`, shape, init: onesInit },
    ],
    forward(x, ctx) {
      const runningMean = ctx.buffer(`${name}.running_mean`);
      const runningVar = ctx.buffer(`${name}.running_var`);
      if (ctx.mode === "eval" || ctx.statistics === "running") {
        const affine = (factor: Value, term: Value): Value => channelAffine(x, factor, term);
        return normalise({ mean: runningMean, variance: runningVar, affine }, ctx);
      }
      const processes = ctx.statistics === "batch" ? 1 : ctx.statistics.processes;
      const count = processes * x.shape[0]! * x.shape[2]! * x.shape[3]!;
      const statistics = batchStatistics(x, processes);
      const { mean, variance } = statistics;
      const unbiased = count / Math.max(count - 1, 1);
      const blend = (old: Value, current: Value, factor: number): Value =>
        add(scale(old, 1 - momentum), scale(current, factor));
      ctx.updateBuffer(`${name}.running_mean`, blend(runningMean, mean, momentum));
      ctx.updateBuffer(`${name}.running_var`, blend(runningVar, variance, momentum * unbiased));
      return normalise(statistics, ctx);
    },
  };
}
