import type { Rng } from "../base/rng.ts";
import type { Graph } from "../graph/graph.ts";
import { emaBlend } from "../optim/ema.ts";
import { type LookaheadOptions, lookaheadFactors } from "../optim/lookahead.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import { sizeOf } from "../tensor/shape.ts";
import { floats, scalar, type Tensor } from "../tensor/tensor.ts";
import type { TrainBatch } from "./batches.ts";

export interface FeedOptions {
  readonly graph: Graph;
  readonly optimizer: Optimizer;
  readonly rng: Rng;
  readonly emaDecay?: number | undefined;
  readonly lookahead?: LookaheadOptions | undefined;
}

/**
 * Everything that a training step is fed with: the batch, the optimiser's scalars, the averages' factors and dropout's
 * uniform numbers. All but the batch follows from the global step (counted from 0) and the seed.
 */
export function stepFeeds(batch: TrainBatch, globalStep: number, options: FeedOptions): Record<string, Tensor> {
  const { graph, optimizer, rng, emaDecay, lookahead } = options;
  const scalars: Record<string, number> = { ...optimizer.scalarsAt(globalStep) };
  if (emaDecay !== undefined) scalars["ema/blend"] = emaBlend(globalStep, emaDecay);
  if (lookahead !== undefined) {
    const { blend, sync } = lookaheadFactors(globalStep, lookahead);
    Object.assign(scalars, { "lookahead/blend": blend, "lookahead/sync": sync });
  }
  const feeds: Record<string, Tensor> = { images: batch.images, labels: batch.labels };
  if (graph.inputs.theta !== undefined) feeds.theta = batch.theta;
  for (const [name, value] of Object.entries(scalars)) feeds[name] = scalar(value);
  for (const [name, { shape }] of Object.entries(graph.inputs)) {
    if (!name.startsWith("uniforms/")) continue;
    const stream = rng.split(name).split(globalStep);
    feeds[name] = floats(
      shape,
      Float32Array.from({ length: sizeOf(shape) }, () => stream.uniform()),
    );
  }
  return feeds;
}
