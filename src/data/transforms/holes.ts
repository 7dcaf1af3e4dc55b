import type { ImageAugmentation } from "./augmentation.ts";
import type { Hole, Interval } from "./image-change.ts";
import type { ImageSize } from "./image-size.ts";
import { between, type Range } from "./range.ts";

/** All lengths are in pixels of the source image, whatever size the network takes. */

export interface CoarseDropoutOptions {
  readonly minHoles: number;
  readonly maxHoles: number;
  readonly maxHeight: number;
  readonly maxWidth: number;
  readonly probability: number;
  readonly size: ImageSize;
}

/** A random number of rectangles of random size from 1 pixel on, each wholly inside. */
export function coarseDropout(options: CoarseDropoutOptions): ImageAugmentation {
  const { minHoles, maxHoles, size, probability } = options;
  const height = Math.min(options.maxHeight, size.height);
  const width = Math.min(options.maxWidth, size.width);
  return {
    needs: [],
    holes: maxHoles,
    apply(change, { rng }) {
      if (rng.uniform() >= probability) return;
      for (let left = minHoles + rng.int(maxHoles - minHoles + 1); left > 0; left--) {
        const [h, w] = [1 + rng.int(height), 1 + rng.int(width)];
        const [top, start] = [rng.int(size.height - h + 1), rng.int(size.width - w + 1)];
        change.holes.push(box([top, top + h], [start, start + w], size));
      }
    },
  };
}

export interface CutoutOptions {
  /** Side of the square. */
  readonly length: number;
  readonly probability: number;
  readonly size: ImageSize;
}

/** One square, its centre anywhere, so that part of it may lie outside (DeVries and Taylor 2017). */
export function cutout({ length, probability, size }: CutoutOptions): ImageAugmentation {
  return {
    needs: [],
    holes: 1,
    apply(change, { rng }) {
      if (rng.uniform() >= probability) return;
      const top = rng.int(size.height) - Math.floor(length / 2);
      const left = rng.int(size.width) - Math.floor(length / 2);
      change.holes.push(box([top, top + length], [left, left + length], size));
    },
  };
}

export interface ErasingOptions {
  /** Share of the area. */
  readonly scale: Range;
  /** Height by width. */
  readonly ratio: Range;
  readonly probability: number;
  readonly size: ImageSize;
}

/** One rectangle, wholly inside; after ten that do not fit none (Zhong et al. 2017; as torchvision's). */
export function randomErasing({ scale, ratio, probability, size }: ErasingOptions): ImageAugmentation {
  const logRatio = ratio.map(Math.log) as [number, number];
  return {
    needs: [],
    holes: 1,
    apply(change, { rng }) {
      if (rng.uniform() >= probability) return;
      for (let attempt = 0; attempt < 10; attempt++) {
        const area = size.height * size.width * between(rng.uniform(), scale);
        const aspect = Math.exp(between(rng.uniform(), logRatio));
        const [h, w] = [Math.round(Math.sqrt(area * aspect)), Math.round(Math.sqrt(area / aspect))];
        if (h < 1 || w < 1 || h >= size.height || w >= size.width) continue;
        const [top, left] = [rng.int(size.height - h + 1), rng.int(size.width - w + 1)];
        change.holes.push(box([top, top + h], [left, left + w], size));
        return;
      }
    },
  };
}

export interface GridMaskOptions {
  /** Distance of the squares, smallest and largest. */
  readonly period: Range;
  /** Side of a square as a share of the distance. */
  readonly ratio: number;
  readonly probability: number;
  readonly size: ImageSize;
}

/** Squares on a regular grid of random width and place (Chen et al. 2020, without its rotation). */
export function gridMask({ period, ratio, probability, size }: GridMaskOptions): ImageAugmentation {
  return {
    needs: [],
    holes: 1,
    apply(change, { rng }) {
      if (rng.uniform() >= probability) return;
      const distance = between(rng.uniform(), period);
      const stripes = (length: number): Interval[] => {
        const first = (rng.uniform() - 1) * distance;
        const count = Math.ceil((length - first) / distance);
        return Array.from({ length: count }, (_, i) => {
          const start = first + i * distance;
          return [start / length, (start + ratio * distance) / length];
        });
      };
      change.holes.push({ rows: stripes(size.height), columns: stripes(size.width) });
    },
  };
}

function box([top, bottom]: Interval, [left, right]: Interval, { height, width }: ImageSize): Hole {
  return { rows: [[top / height, bottom / height]], columns: [[left / width, right / width]] };
}

/** Sets the pixels whose centre lies in an interval to `value`. */
export function paint(profile: Float32Array, intervals: readonly Interval[], value = 1): void {
  for (const [start, end] of intervals) {
    const first = Math.max(0, Math.ceil(start * profile.length - 0.5 - 1e-6));
    const last = Math.min(profile.length, Math.ceil(end * profile.length - 0.5 - 1e-6));
    if (last > first) profile.fill(value, first, last);
  }
}
