import type { ImageAugmentation } from "./augmentation.ts";
import type { ImageChange } from "./image-change.ts";
import { between, type Range } from "./range.ts";

/** Width of all kernels. */
export const kernelSize = 7;
const radius = (kernelSize - 1) / 2;

function kernelOf(value: (x: number, y: number) => number): Float64Array {
  return Float64Array.from({ length: kernelSize ** 2 }, (_, i) =>
    value((i % kernelSize) - radius, Math.floor(i / kernelSize) - radius),
  );
}

function normalised(kernel: Float64Array): Float64Array {
  const total = kernel.reduce((sum, value) => sum + value, 0);
  return kernel.map((value) => value / total);
}

export const identityKernel = kernelOf((x, y) => (x === 0 && y === 0 ? 1 : 0));

/** Applied after the kernel that is there; what would reach beyond the size is cut off. */
function filter(change: ImageChange, kernel: Float64Array): void {
  const before = change.kernel;
  if (before === undefined) {
    change.kernel = kernel;
    return;
  }
  const at = (k: Float64Array, x: number, y: number): number =>
    Math.abs(x) > radius || Math.abs(y) > radius ? 0 : k[(y + radius) * kernelSize + x + radius]!;
  change.kernel = normalised(
    kernelOf((x, y) => {
      let sum = 0;
      for (let v = -radius; v <= radius; v++) {
        for (let u = -radius; u <= radius; u++) sum += at(kernel, u, v) * at(before, x - u, y - v);
      }
      return sum;
    }),
  );
}

/** Standard deviation in pixels. */
export function gaussianBlur(change: ImageChange, sigma: number): void {
  filter(change, normalised(kernelOf((x, y) => Math.exp(-(x * x + y * y) / (2 * sigma * sigma)))));
}

/** A straight move of the camera by `length` pixels, at `angle` in radians. */
export function motionBlur(change: ImageChange, { length, angle }: { length: number; angle: number }): void {
  const kernel = new Float64Array(kernelSize ** 2);
  const samples = 8 * kernelSize;
  for (let i = 0; i < samples; i++) {
    const place = ((i + 0.5) / samples - 0.5) * length;
    const [x, y] = [radius + place * Math.cos(angle), radius + place * Math.sin(angle)];
    for (const [column, row] of [0, 1, 2, 3].map((n) => [Math.floor(x) + (n & 1), Math.floor(y) + (n >> 1)] as const)) {
      if (column >= kernelSize || row >= kernelSize) continue;
      kernel[row * kernelSize + column]! += (1 - Math.abs(x - column)) * (1 - Math.abs(y - row));
    }
  }
  filter(change, normalised(kernel));
}

/** Blends with PIL's smoothed image: below 1 softer, above 1 sharper. */
export function sharpen(change: ImageChange, factor: number): void {
  const smooth = kernelOf((x, y) => (Math.abs(x) > 1 || Math.abs(y) > 1 ? 0 : x === 0 && y === 0 ? 5 / 13 : 1 / 13));
  filter(
    change,
    identityKernel.map((value, i) => factor * value + (1 - factor) * smooth[i]!),
  );
}

export type BlurKind = "gaussian" | "motion" | "median";

export interface BlurOptions {
  /** One of these for each image, equally likely. */
  readonly kinds: readonly BlurKind[];
  /** Standard deviation of "gaussian", in pixels. */
  readonly sigma: Range;
  /** Longest way of "motion", in pixels, at least 2. */
  readonly length: number;
  readonly probability: number;
}

/** "gaussian", "motion" in any direction, or "median" of 3x3 pixels. */
export function blur({ kinds, sigma, length, probability }: BlurOptions): ImageAugmentation {
  const median = kinds.includes("median");
  const linear = kinds.some((kind) => kind !== "median");
  return {
    needs: [...(median ? (["median"] as const) : []), ...(linear ? (["kernel"] as const) : [])],
    apply(change, { rng }) {
      if (rng.uniform() >= probability) return;
      const kind = kinds[rng.int(kinds.length)]!;
      switch (kind) {
        case "gaussian":
          gaussianBlur(change, between(rng.uniform(), sigma));
          break;
        case "motion":
          motionBlur(change, { length: between(rng.uniform(), [2, length]), angle: Math.PI * rng.uniform() });
          break;
        case "median":
          change.median = true;
          break;
        default:
          kind satisfies never;
      }
    },
  };
}
