import { PipelineError } from "../base/errors.ts";
import type { Rng } from "../base/rng.ts";

export interface StratifiedSplit {
  /** Ascending indices. */
  readonly train: Int32Array;
  readonly validation: Int32Array;
}

export interface StratifiedSplitOptions {
  /** Share of validation images, in [0, 1); default 0.1. */
  readonly fraction?: number;
  readonly rng: Rng;
}

/**
 * Random split by class: the validation part has round(fraction * count) images, of each class its share rounded down
 * or up (largest remainders up), and never the last image of a class.
 * @throws INVALID_ARGUMENT when `fraction` is out of range.
 */
export function stratifiedSplit(labels: Int32Array, { fraction = 0.1, rng }: StratifiedSplitOptions): StratifiedSplit {
  if (!(fraction >= 0 && fraction < 1)) {
    throw new PipelineError("INVALID_ARGUMENT", `the validation fraction ${fraction} is not in [0, 1)`, {
      remedy: "set it to 0.1, or to 0 for no validation part",
    });
  }
  const members = groupByLabel(labels);
  const quotas = apportion(
    members.map(([, indices]) => indices.length),
    fraction,
    labels.length,
  );
  const inValidation = new Uint8Array(labels.length);
  members.forEach(([label, indices], i) => {
    const order = rng.split(label).permutation(indices.length);
    for (const position of order.subarray(0, quotas[i])) inValidation[indices[position]!] = 1;
  });
  const all = Int32Array.from(labels, (_, i) => i);
  return { train: all.filter((i) => inValidation[i] === 0), validation: all.filter((i) => inValidation[i] === 1) };
}

/** Indices by class, ascending by label. */
function groupByLabel(labels: Int32Array): readonly (readonly [number, readonly number[]])[] {
  const groups = new Map<number, number[]>();
  labels.forEach((label, i) => {
    const group = groups.get(label);
    if (group === undefined) groups.set(label, [i]);
    else group.push(i);
  });
  return [...groups].sort(([a], [b]) => a - b);
}

/** Largest remainder method. */
function apportion(sizes: readonly number[], fraction: number, total: number): readonly number[] {
  const quotas = sizes.map((size) => Math.floor(size * fraction));
  const remainder = (i: number) => sizes[i]! * fraction - quotas[i]!;
  const byRemainder = sizes.map((_, i) => i).sort((a, b) => remainder(b) - remainder(a) || a - b);
  let missing = Math.round(total * fraction) - quotas.reduce((sum, quota) => sum + quota, 0);
  for (const i of byRemainder) {
    if (missing <= 0) break;
    if (remainder(i) === 0 || quotas[i]! + 1 >= sizes[i]!) continue;
    quotas[i] = quotas[i]! + 1;
    missing--;
  }
  return quotas;
}
