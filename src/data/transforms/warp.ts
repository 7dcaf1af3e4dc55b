import type { ImageChange } from "./image-change.ts";
import type { ImageSize } from "./image-size.ts";

/** Displacements of the output's places as a weighted sum of fixed functions of the place. */
export interface Field {
  /** Number of functions. */
  readonly size: number;
  /** True where x moves by functions of x alone and y by functions of y alone. */
  readonly alongAxes: boolean;
  /** Values of all functions at a place of the output, -1 and 1 at its edges. */
  at(x: number, y: number, into: Float64Array): void;
}

export type Border = "zeros" | "reflect";

/**
 * One resampling for all that moves pixels and for the change of size. The place in the source, in pixels, of output
 * pixel (i, j) is warp [2, K] times a vector of K functions: i, j, 1 and those of the fields. Beyond the source lies the
 * source mirrored, or black.
 */
export interface WarpStage {
  readonly source: ImageSize;
  readonly target: ImageSize;
  readonly border: Border;
  /** "axes": x depends on i and y on j alone, so that two products with sparse matrices resample. */
  readonly kind: "axes" | "free";
  /**
   * What is sampled where the kind is "free": the target, but at most twice the source; the rest is enlarged bilinearly.
   */
  readonly sampled: ImageSize;
  readonly fields: readonly Field[];
  /**
   * True where images only move by whole pixels: each output pixel is one source pixel or lies wholly outside. Else
   * places up to half a pixel outside, which every change of size has, take the colour of the edge.
   */
  readonly wholePixels: boolean;
  /** K */
  readonly functions: number;
}

export interface WarpOptions extends Pick<WarpStage, "source" | "target" | "border" | "fields"> {
  readonly moves: "shift" | "zoom" | "turn";
}

export function warpStage({ moves, fields, source, target, border }: WarpOptions): WarpStage {
  const kind = moves === "turn" || fields.some(({ alongAxes }) => !alongAxes) ? "free" : "axes";
  const sampled =
    kind === "axes"
      ? target
      : { height: Math.min(target.height, 2 * source.height), width: Math.min(target.width, 2 * source.width) };
  const functions = fields.reduce((sum, { size }) => sum + size, 3);
  const wholePixels = moves === "shift" && source.height === target.height && source.width === target.width;
  return { source, target, border, kind, sampled, fields, wholePixels, functions };
}

/** Writes [2, K] of one image at `offset`. */
export function packWarp(stage: WarpStage, change: ImageChange, into: Float32Array, offset: number): void {
  const { source, sampled, fields, functions } = stage;
  const { theta, displacements } = change;
  for (const row of [0, 1]) {
    const [tx, ty, t1] = theta.subarray(3 * row, 3 * row + 3) as unknown as [number, number, number];
    // In pixels of the source: place p on the scale -1..1 is ((p + 1) size - 1) / 2.
    const half = (row === 0 ? source.width : source.height) / 2;
    const at = offset + row * functions;
    into[at] = (2 * tx * half) / sampled.width;
    into[at + 1] = (2 * ty * half) / sampled.height;
    into[at + 2] = (tx * (1 / sampled.width - 1) + ty * (1 / sampled.height - 1) + t1 + 1) * half - 0.5;
    let k = at + 3;
    for (const field of fields) {
      const moved = displacements.get(field);
      for (let i = 0; i < field.size; i++, k++) {
        into[k] = moved === undefined ? 0 : (tx * moved[i]! + ty * moved[field.size + i]!) * half;
      }
    }
  }
}

/** Values [K, height * width] of the functions at the output's pixels. */
export function warpFunctions({ fields, functions }: WarpStage, { height, width }: ImageSize): Float32Array {
  const values = new Float32Array(functions * height * width);
  const buffers = fields.map(({ size }) => new Float64Array(size));
  for (let j = 0; j < height; j++) {
    for (let i = 0; i < width; i++) {
      const put = (k: number, value: number): void => {
        values[(k * height + j) * width + i] = value;
      };
      put(0, i);
      put(1, j);
      put(2, 1);
      let k = 3;
      fields.forEach((field, f) => {
        field.at((2 * i + 1) / width - 1, (2 * j + 1) / height - 1, buffers[f]!);
        for (const value of buffers[f]!) put(k++, value);
      });
    }
  }
  return values;
}
