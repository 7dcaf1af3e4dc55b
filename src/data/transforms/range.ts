/** Smallest and largest value. */
export type Range = readonly [number, number];

/** From [0, 1) to a range. */
export function between(share: number, [low, high]: Range): number {
  return low + share * (high - low);
}
