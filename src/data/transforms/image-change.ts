import { type ColorMap, identityColor } from "./color-map.ts";

/** A rectangle or a grid of them: which rows and which columns, as shares of the output from 0 to 1. */
export interface Hole {
  readonly rows: readonly Interval[];
  readonly columns: readonly Interval[];
}

export type Interval = readonly [number, number];

/** Gaussian noise: e = mix * (independent normal numbers of 3 channels); x += e (plain + linear x + root sqrt x). */
export interface Noise {
  readonly mix: readonly number[];
  readonly plain: number;
  readonly linear: number;
  readonly root: number;
}

/** What is to happen to one image; each augmentation adds its part. */
export interface ImageChange {
  /**
   * 2x3, row-major: maps OUTPUT to INPUT coordinates, [x_in, y_in] = theta [x_out, y_out, 1]; x to the right and y down,
   * -1 and 1 at the outer edges of the image.
   */
  readonly theta: Float64Array;
  /** Displacements of output places by field, [2, field.size]: x, then y, in the units of theta. */
  readonly displacements: Map<object, Float64Array>;
  color: ColorMap;
  /** [3, 256] */
  curves: Float32Array | undefined;
  /** Square, odd. */
  kernel: Float64Array | undefined;
  median: boolean;
  noise: Noise | undefined;
  readonly holes: Hole[];
}

export function unchanged(): ImageChange {
  return {
    theta: Float64Array.of(1, 0, 0, 0, 1, 0),
    displacements: new Map(),
    color: identityColor,
    curves: undefined,
    kernel: undefined,
    median: false,
    noise: undefined,
    holes: [],
  };
}

/** The image moves by `next` after all that `change` does already: input = theta(next(output)). */
export function move({ theta }: ImageChange, next: readonly [number, number, number, number, number, number]): void {
  for (const row of [0, 3]) {
    const [a, b] = [theta[row]!, theta[row + 1]!];
    theta[row] = a * next[0] + b * next[3];
    theta[row + 1] = a * next[1] + b * next[4];
    theta[row + 2]! += a * next[2] + b * next[5];
  }
}
