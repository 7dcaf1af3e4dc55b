import { createRng } from "../base/rng.ts";
import { toUnit } from "./axis.ts";
import { growTree, type Leaf } from "./regression-tree.ts";
import type { Space } from "./space.ts";
import { bestValue, type Direction, isFinal, type Trial } from "./trial.ts";

export interface Importance {
  readonly parameter: string;
  /** Share of the objective's variance that this parameter explains alone; the shares of all parameters add up to 1. */
  readonly share: number;
}

export interface ImportanceOptions {
  readonly space: Space;
  readonly trials: readonly Trial[];
  readonly direction: Direction;
  readonly trees?: number;
  readonly seed?: number;
}

/** Fewer trials say nothing. */
const fewestTrials = 4;

/**
 * Functional analysis of variance (Hutter, Hoos, Leyton-Brown 2014): how much the mean of a random forest's predictions
 * over all other parameters varies with one parameter, on the scale on which it is searched. Largest first; none where
 * there are too few values, or values that do not differ. A conditional parameter counts as half-way where it is absent.
 */
export function parameterImportance(options: ImportanceOptions): readonly Importance[] {
  const { space, trials, direction, trees = 64, seed = 0 } = options;
  const names = Object.keys(space.dimensions);
  const usable = trials.flatMap((trial) => {
    const value = isFinal(trial) ? bestValue(trial, direction) : undefined;
    return value === undefined ? [] : [{ trial, value }];
  });
  if (usable.length < fewestTrials) return [];
  const rows = usable.map(({ trial }) =>
    names.map((name) => {
      const value = trial.params[name];
      return value === undefined ? 0.5 : toUnit(space.dimensions[name]!.domain, value);
    }),
  );
  const values = usable.map(({ value }) => value);
  const rng = createRng(seed).split("importance");
  const shares = new Array<number>(names.length).fill(0);
  for (let tree = 0; tree < trees; tree++) {
    const leaves = growTree({ rows, values }, rng.split(tree));
    const total = weightedVariance(leaves.map(({ low, high, value }) => ({ value, weight: volume(low, high) })));
    if (total <= 0) continue;
    for (const dimension of names.keys()) shares[dimension]! += marginalVariance(leaves, dimension) / total;
  }
  const sum = shares.reduce((total, share) => total + share, 0);
  if (sum === 0) return [];
  return names
    .map((parameter, i) => ({ parameter, share: shares[i]! / sum }))
    .sort((a, b) => b.share - a.share || (a.parameter < b.parameter ? -1 : 1));
}

/** Variance of the tree's mean over all other dimensions, along one. */
function marginalVariance(leaves: readonly Leaf[], dimension: number): number {
  const cuts = [...new Set(leaves.flatMap(({ low, high }) => [low[dimension]!, high[dimension]!]))].sort(
    (a, b) => a - b,
  );
  const pieces = cuts.slice(1).map((end, i) => {
    const start = cuts[i]!;
    const middle = 0.5 * (start + end);
    let value = 0;
    for (const { low, high, value: of } of leaves)
      if (low[dimension]! < middle && middle < high[dimension]!)
        value += (of * volume(low, high)) / (high[dimension]! - low[dimension]!);
    return { value, weight: end - start };
  });
  return weightedVariance(pieces);
}

function volume(low: readonly number[], high: readonly number[]): number {
  return low.reduce((product, from, d) => product * (high[d]! - from), 1);
}

function weightedVariance(pieces: readonly { readonly value: number; readonly weight: number }[]): number {
  const weight = pieces.reduce((sum, piece) => sum + piece.weight, 0);
  const mean = pieces.reduce((sum, piece) => sum + piece.weight * piece.value, 0) / weight;
  return pieces.reduce((sum, piece) => sum + piece.weight * (piece.value - mean) ** 2, 0) / weight;
}
