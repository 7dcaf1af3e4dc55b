import type { Rng } from "../base/rng.ts";
import { type Batch, batchInputs } from "../data/batch.ts";
import type { Graph } from "../graph/graph.ts";
import { emaBlend } from "../optim/ema.ts";
import { type LookaheadOptions, lookaheadFactors } from "../optim/lookahead.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import { sizeOf } from "../tensor/shape.ts";
import { floats, scalar, type Tensor } from "../tensor/tensor.ts";

export interface FeedOptions {
  readonly graph: Graph;
  readonly optimizer: Optimizer;
  readonly rng: Rng;
  readonly emaDecay?: number | undefined;
  readonly lookahead?: LookaheadOptions | undefined;
  /** Which of the equal parts of the global batch the graph takes, counted from 0; default the first. */
  readonly part?: number | undefined;
}

/**
 * Everything that a training step is fed with: the batch, the optimiser's scalars, the averages' factors and dropout's
 * uniform numbers. All but the batch follows from the global step (counted from 0) and the seed.
 */
export function stepFeeds(batch: Batch, globalStep: number, options: FeedOptions): Record<string, Tensor> {
  const { graph, optimizer, rng, emaDecay, lookahead, part = 0 } = options;
  const scalars: Record<string, number> = { ...optimizer.scalarsAt(globalStep) };
  if (emaDecay !== undefined) scalars["ema/blend"] = emaBlend(globalStep, emaDecay);
  if (lookahead !== undefined) {
    const { blend, sync } = lookaheadFactors(globalStep, lookahead);
    Object.assign(scalars, { "lookahead/blend": blend, "lookahead/sync": sync });
  }
  const feeds: Record<string, Tensor> = {};
  for (const name of batchInputs) {
    const value = batch[name];
    if (value !== undefined && graph.inputs[name] !== undefined) feeds[name] = value;
  }
  for (const [name, value] of Object.entries(batch.augmentation ?? {})) feeds[`augment/${name}`] = value;
  for (const [name, value] of Object.entries(scalars))
    if (graph.inputs[name] !== undefined) feeds[name] = scalar(value);
  for (const [name, { shape }] of Object.entries(graph.inputs)) {
    if (!name.startsWith("uniforms/")) continue;
    const stream = rng.split(name).split(globalStep);
    const numbers = new Float32Array(sizeOf(shape));
    // The rows of lower parts come first, so that each row gets the numbers that it would get in one piece.
    for (let i = part * numbers.length; i > 0; i--) stream.uniform();
    // Not Float32Array.from, which takes ten times as long: these are as many as the features of a batch.
    for (let i = 0; i < numbers.length; i++) numbers[i] = stream.uniform();
    feeds[name] = floats(shape, numbers);
  }
  return feeds;
}
