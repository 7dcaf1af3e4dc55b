import type { Rng } from "../../base/rng.ts";
import type { Named, Tensor } from "../../tensor/tensor.ts";
import { floats } from "../../tensor/tensor.ts";
import { paint } from "./holes.ts";
import type { ImageSize } from "./image-size.ts";

export interface MixOptions {
  /** Beta(alpha, alpha) of the shares of mixup; undefined: no mixup. */
  readonly mixupAlpha: number | undefined;
  /** The same for cutmix. */
  readonly cutmixAlpha: number | undefined;
  /** Of an image to be mixed at all; with both kinds half of these by each. */
  readonly probability: number;
}

/**
 * How much of the next image of the batch (of the first for the last) each image takes: everywhere the same share
 * (mixup, Zhang et al. 2017) or all of it in a rectangle (cutmix, Yun et al. 2019). Images and labels share one draw.
 */
export function drawMix(
  { mixupAlpha, cutmixAlpha, probability }: MixOptions,
  { rngOf, count, target }: { readonly rngOf: (i: number) => Rng; readonly count: number; readonly target: ImageSize },
): Named<Tensor<"float32">> {
  const { height, width } = target;
  const rows = new Float32Array(count * height);
  const columns = new Float32Array(count * width);
  const shares = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const rng = rngOf(i);
    if (rng.uniform() >= probability) continue;
    const [row, column] = [rows.subarray(i * height, (i + 1) * height), columns.subarray(i * width, (i + 1) * width)];
    const cut = mixupAlpha === undefined || (cutmixAlpha !== undefined && rng.int(2) === 1);
    const share = beta(rng, (cut ? cutmixAlpha : mixupAlpha) ?? 1);
    if (cut) {
      const side = Math.sqrt(share);
      for (const profile of [row, column]) {
        const centre = rng.uniform();
        paint(profile, [[centre - side / 2, centre + side / 2]]);
      }
    } else {
      row.fill(1);
      column.fill(share);
    }
    shares[i] = mean(row) * mean(column);
  }
  return {
    mix_y: floats([count, 1, height], rows),
    mix_x: floats([count, 1, width], columns),
    mix_share: floats([count], shares),
  };
}

const mean = (values: Float32Array): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Beta(alpha, alpha), as a ratio of two gamma variates. */
function beta(rng: Rng, alpha: number): number {
  const [a, b] = [gammaVariate(rng, alpha), gammaVariate(rng, alpha)];
  return a + b === 0 ? rng.int(2) : a / (a + b);
}

/** Marsaglia and Tsang 2000; below 1 by their boost. */
function gammaVariate(rng: Rng, shape: number): number {
  if (shape < 1) return gammaVariate(rng, shape + 1) * (1 - rng.uniform()) ** (1 / shape);
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = rng.normal();
    const v = (1 + c * x) ** 3;
    if (v > 0 && Math.log(1 - rng.uniform()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v;
  }
}
