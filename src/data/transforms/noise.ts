import type { ImageAugmentation } from "./augmentation.ts";
import { between, type Range } from "./range.ts";

export type NoiseKind = "gaussian" | "iso" | "multiplicative";

export interface NoiseOptions {
  /** One of these for each image, equally likely. */
  readonly kinds: readonly NoiseKind[];
  /** Standard deviation, on the scale 0..1. */
  readonly strength: Range;
  readonly probability: number;
}

const independent = [1, 0, 0, 0, 1, 0, 0, 0, 1];

/** Nine tenths of the variance are gray, one tenth is colour; rows of norm 1. */
const sensor = ((): number[] => {
  const [shared, own] = [Math.sqrt(0.9), Math.sqrt(0.1)];
  const common = shared / Math.sqrt(3);
  return independent.map((value) => common + (value === 1 ? own * Math.sqrt(2 / 3) : (-own * Math.sqrt(2 / 3)) / 2));
})();

/**
 * "gaussian": the same strength everywhere. "multiplicative": the pixel times 1 + noise. "iso": a camera's at high
 * sensitivity, mostly of brightness, stronger where there is more light (as its square root, the law of photon counts).
 */
export function noise({ kinds, strength, probability }: NoiseOptions): ImageAugmentation {
  return {
    needs: [kinds.every((kind) => kind === "gaussian") ? "noise" : "signal-noise"],
    apply(change, { rng }) {
      if (rng.uniform() >= probability) return;
      const kind = kinds[rng.int(kinds.length)]!;
      const sigma = between(rng.uniform(), strength);
      change.noise = {
        mix: kind === "iso" ? sensor : independent,
        plain: kind === "gaussian" ? sigma : 0,
        linear: kind === "multiplicative" ? sigma : 0,
        root: kind === "iso" ? sigma : 0,
      };
    },
  };
}
