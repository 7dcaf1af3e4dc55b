import { createRng, type Rng } from "../../base/rng.ts";
import { fromUnit } from "../axis.ts";
import { fillSpace } from "../space.ts";
import type { Sampler } from "./sampler.ts";

export interface QuasiRandomOptions {
  readonly seed: number;
}

/**
 * Points of a scrambled Halton sequence: they fill the space more evenly than random ones. Each digit of the radical
 * inverse is permuted at random (Owen, "A randomized Halton algorithm in R", 2017), which takes away the correlation of
 * the plain sequence in higher dimensions.
 */
export function quasiRandomSampler({ seed }: QuasiRandomOptions): Sampler {
  const sequence = scrambledHalton(createRng(seed).split("halton"));
  return {
    sample: ({ space, trials }) =>
      fillSpace(space, (_name, domain, dimension) => fromUnit(domain, sequence(trials.length, dimension))),
  };
}

/** Digits below 2^-24 of the value do not count: `Rng.uniform` has as many bits. */
const resolution = 2 ** -24;

/** The coordinate, in [0, 1), of a point of the sequence in one dimension. */
export function scrambledHalton(rng: Rng): (index: number, dimension: number) => number {
  const permutations = new Map<string, Int32Array>();
  const permutation = (base: number, digit: number): Int32Array => {
    const key = `${base}/${digit}`;
    const known = permutations.get(key) ?? rng.split(key).permutation(base);
    permutations.set(key, known);
    return known;
  };
  return (index, dimension) => {
    const base = prime(dimension);
    let value = 0;
    let rest = index;
    // Also the zeros behind the last digit are permuted: without them the first points would crowd at 0.
    for (let [digit, weight] = [0, 1 / base]; weight > resolution; digit++, weight /= base) {
      value += weight * permutation(base, digit)[rest % base]!;
      rest = Math.floor(rest / base);
    }
    return value;
  };
}

const primes: number[] = [2];

function prime(index: number): number {
  for (let candidate = primes.at(-1)! + 1; primes.length <= index; candidate++)
    if (primes.every((divisor) => candidate % divisor !== 0)) primes.push(candidate);
  return primes[index]!;
}
