import type { Rng } from "../base/rng.ts";

/** A box of the unit cube and the value that the tree gives it. */
export interface Leaf {
  readonly low: readonly number[];
  readonly high: readonly number[];
  readonly value: number;
}

export interface TreeData {
  /** rows[i][d] in 0..1. */
  readonly rows: readonly (readonly number[])[];
  readonly values: readonly number[];
}

/** A regression tree grown to pure leaves on a bootstrap sample, as its leaves, which fill the unit cube. */
export function growTree({ rows, values }: TreeData, rng: Rng): readonly Leaf[] {
  const dimensions = rows[0]?.length ?? 0;
  const sample = rows.map(() => rng.int(rows.length));
  const leaves: Leaf[] = [];
  const pending = [
    { members: sample, low: new Array<number>(dimensions).fill(0), high: new Array<number>(dimensions).fill(1) },
  ];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    const { members, low, high } = node;
    const split = bestSplit(members, { rows, values });
    if (split === undefined) {
      leaves.push({ low, high, value: mean(members.map((i) => values[i]!)) });
      continue;
    }
    const { dimension, threshold } = split;
    const goesLeft = (i: number): boolean => rows[i]![dimension]! <= threshold;
    pending.push(
      { members: members.filter(goesLeft), low, high: high.with(dimension, threshold) },
      { members: members.filter((i) => !goesLeft(i)), low: low.with(dimension, threshold), high },
    );
  }
  return leaves;
}

/** The cut that leaves the least squared error; undefined where all values or all rows are equal. */
function bestSplit(members: readonly number[], { rows, values }: TreeData) {
  let best: { readonly dimension: number; readonly threshold: number; readonly gain: number } | undefined;
  const total = members.reduce((sum, i) => sum + values[i]!, 0);
  const base = (total * total) / members.length;
  for (let dimension = 0; dimension < (rows[0]?.length ?? 0); dimension++) {
    const order = members.toSorted((a, b) => rows[a]![dimension]! - rows[b]![dimension]!);
    let left = 0;
    for (let n = 1; n < order.length; n++) {
      left += values[order[n - 1]!]!;
      const [before, after] = [rows[order[n - 1]!]![dimension]!, rows[order[n]!]![dimension]!];
      if (before === after) continue;
      const right = total - left;
      const gain = (left * left) / n + (right * right) / (order.length - n) - base;
      if (gain > (best?.gain ?? 1e-12 * Math.abs(base))) best = { dimension, threshold: 0.5 * (before + after), gain };
    }
  }
  return best;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
