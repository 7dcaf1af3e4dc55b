import type { Rng } from "../../base/rng.ts";
import { joeKuo } from "./joe-kuo.ts";

/** Binary digits of a coordinate: every one is exact in float64. */
export const sobolBits = 30;
export const sobolDimensions = joeKuo.length + 1;

/** The coordinate of a point in one dimension, as a multiple of 2^-30, both counted from 0. */
export type SobolSequence = (index: number, dimension: number) => number;

/** Points below 2^30 in at most 64 dimensions. The first one is the origin. */
export function sobolSequence(): SobolSequence {
  return sequenceOf(directionNumbers, () => 0);
}

/**
 * Scrambled by a random lower triangular matrix of binary digits and a random shift for each dimension (Matousek, "On the
 * L2-discrepancy for anchored boxes", 1998): every coordinate is uniform, and 2^k points in a row are spread as before.
 */
export function scrambledSobol(rng: Rng): SobolSequence {
  return sequenceOf(
    (dimension) => {
      const digits = rng.split(`${dimension}/matrix`);
      // Row i makes the i-th digit behind the point from those up to it; its own one counts always.
      const rows = Array.from({ length: sobolBits }, (_, i) => {
        const random = i === 0 ? 0 : (digits.uint32() >>> (32 - i)) << (sobolBits - i);
        return random | (1 << (sobolBits - 1 - i));
      });
      return directionNumbers(dimension).map((number) =>
        rows.reduce((scrambled, row, i) => scrambled | (parity(row & number) << (sobolBits - 1 - i)), 0),
      );
    },
    (dimension) => rng.split(`${dimension}/shift`).uint32() >>> (32 - sobolBits),
  );
}

function sequenceOf(
  numbersOf: (dimension: number) => readonly number[],
  shiftOf: (dimension: number) => number,
): SobolSequence {
  const known: { readonly numbers: readonly number[]; readonly shift: number }[] = [];
  return (index, dimension) => {
    known[dimension] ??= { numbers: numbersOf(dimension), shift: shiftOf(dimension) };
    const { numbers, shift } = known[dimension];
    let value = shift;
    for (let bit = 0, rest = index; rest > 0; bit++, rest >>>= 1) if (rest & 1) value ^= numbers[bit]!;
    return value;
  };
}

/** What each binary digit of an index adds, the lowest first (Bratley and Fox, "Algorithm 659", 1988). */
function directionNumbers(dimension: number): readonly number[] {
  if (dimension === 0) return Array.from({ length: sobolBits }, (_, bit) => 1 << (sobolBits - 1 - bit));
  const [polynomial, ...initial] = joeKuo[dimension - 1]!;
  const degree = initial.length;
  const numbers = initial.map((odd, bit) => odd << (sobolBits - 1 - bit));
  for (let bit = degree; bit < sobolBits; bit++) {
    let number = numbers[bit - degree]! ^ (numbers[bit - degree]! >>> degree);
    for (let i = 1; i < degree; i++) if ((polynomial >> (degree - 1 - i)) & 1) number ^= numbers[bit - i]!;
    numbers.push(number);
  }
  return numbers;
}

function parity(value: number): number {
  let ones = value;
  for (const shift of [16, 8, 4, 2, 1]) ones ^= ones >>> shift;
  return ones & 1;
}
