/** The size of the pictures in their own units; the axis' words stand below `height`. */
export const width = 1000;
export const height = 300;
export const viewBox = `0 0 ${width} ${height + 40}`;

export type Interval = readonly [low: number, high: number];

/** From the smallest to the largest finite value; never of no length. */
export function intervalOf(values: readonly (number | undefined)[]): Interval {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (value === undefined || !Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low < high) return [low, high];
  return low === high ? [low - 0.5, high + 0.5] : [0, 1];
}

/** Where a value lies between two places. */
export function scale([low, high]: Interval, [from, to]: Interval): (value: number) => number {
  return (value) => from + ((value - low) / (high - low)) * (to - from);
}

/** The ends of an interval and what lies between them at equal distances. */
export function ticks([low, high]: Interval, count = 4): readonly number[] {
  return Array.from({ length: count + 1 }, (_, index) => low + ((high - low) * index) / count);
}

/** Where points lie in a picture with axes on the left and below. */
export const plotLeft = 80;
export const plotRight = width - 30;
export const across: Interval = [plotLeft, plotRight];
export const upward: Interval = [height - 16, 14];
