/**
 * Deterministic random numbers: xoshiro128** (Blackman and Vigna, 2018), seeded by splitmix32 over a hashed key path.
 * A stream is named by its path (`rng(seed).split("augment").split(epoch)`), so any point of a run can be reproduced
 * from the seed alone, without stored generator state.
 */
export interface Rng {
  /** Independent stream for `label`; the same label always gives the same stream. */
  split(label: string | number): Rng;
  uint32(): number;
  /** Uniform in [0, 1), 24 bits: every value is exact in float32. */
  uniform(): number;
  /** Uniform integer in [0, bound). */
  int(bound: number): number;
  /** Standard normal (Box-Muller). */
  normal(): number;
  /** Random permutation of 0..count-1 (Fisher-Yates). */
  permutation(count: number): Int32Array;
}

export function createRng(seed: number | string): Rng {
  return fromKey(`${seed}`);
}

function fromKey(key: string): Rng {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  const mix = (): number => {
    hash = (hash + 0x9e3779b9) | 0;
    let z = hash;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  };
  let [a, b, c, d] = [mix(), mix(), mix(), mix()];
  let spare: number | undefined;

  const uint32 = (): number => {
    const product = Math.imul(b, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = (d << 11) | (d >>> 21);
    return result;
  };
  const uniform = (): number => (uint32() >>> 8) / 0x1000000;
  const int = (bound: number): number => Math.floor((uint32() / 0x100000000) * bound);

  return {
    split: (label) => fromKey(`${key}/${label}`),
    uint32,
    uniform,
    int,
    normal() {
      if (spare !== undefined) {
        const value = spare;
        spare = undefined;
        return value;
      }
      const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
      const angle = 2 * Math.PI * uniform();
      spare = radius * Math.sin(angle);
      return radius * Math.cos(angle);
    },
    permutation(count) {
      const order = new Int32Array(count).map((_, i) => i);
      for (let i = count - 1; i > 0; i--) {
        const j = int(i + 1);
        const swap = order[i]!;
        order[i] = order[j]!;
        order[j] = swap;
      }
      return order;
    },
  };
}
