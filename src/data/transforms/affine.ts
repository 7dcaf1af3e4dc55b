import type { ImageAugmentation } from "./augmentation.ts";
import { type ImageChange, move } from "./image-change.ts";
import type { ImageSize } from "./image-size.ts";
import { between, type Range } from "./range.ts";

/** Lengths in pixels on both axes: [x', y'] = [[a, b], [c, d]] [x, y] from output to input, about the centre. */
function turn(change: ImageChange, { height, width }: ImageSize, [a, b, c, d]: readonly number[]): void {
  move(change, [a!, (b! * height) / width, 0, (c! * width) / height, d!, 0]);
}

/** Counter-clockwise, in degrees. */
export function rotate(change: ImageChange, size: ImageSize, degrees: number): void {
  const angle = (degrees * Math.PI) / 180;
  turn(change, size, [Math.cos(angle), -Math.sin(angle), Math.sin(angle), Math.cos(angle)]);
}

/** x moves by `x` times y and y by `y` times x, as seen from the output. */
export function shear(
  change: ImageChange,
  size: ImageSize,
  { x, y }: { readonly x: number; readonly y: number },
): void {
  turn(change, size, [1, x, 0, 1]);
  turn(change, size, [1, 0, y, 1]);
}

/** By shares of the width and the height, to the right and down. */
export function translate(change: ImageChange, x: number, y: number): void {
  move(change, [1, 0, -2 * x, 0, 1, -2 * y]);
}

/** By an angle uniform in [-degrees, degrees]. */
export function rotation(degrees: number, size: ImageSize): ImageAugmentation {
  return {
    needs: ["turn"],
    apply(change, { rng }) {
      rotate(change, size, between(rng.uniform(), [-degrees, degrees]));
    },
  };
}

/** By a multiple of 90 degrees, all four equally likely; other rectangles than squares are stretched. */
export const squareSymmetry: ImageAugmentation = {
  needs: ["turn"],
  apply(change, { rng }) {
    const quarter = rng.int(4);
    const [cos, sin] = [[1, 0, -1, 0][quarter]!, [0, 1, 0, -1][quarter]!];
    move(change, [cos, -sin, 0, sin, cos, 0]);
  },
};

export interface AffineOptions {
  /** Factor, the same for both axes. */
  readonly scale: Range;
  /** Degrees, counter-clockwise. */
  readonly rotate: Range;
  /** Largest angle of each axis, in degrees. */
  readonly shear: number;
  /** Largest share of the size. */
  readonly translate: number;
  readonly probability: number;
  readonly size: ImageSize;
}

/** Scales, rotates, shears and shifts about the centre, each uniform in its range. */
export function affine(options: AffineOptions): ImageAugmentation {
  const { scale, size, probability } = options;
  const turns = options.shear !== 0 || options.rotate.some((angle) => angle !== 0);
  return {
    needs: [turns ? "turn" : "zoom"],
    apply(change, { rng }) {
      if (rng.uniform() >= probability) return;
      const factor = between(rng.uniform(), scale);
      const symmetric = (most: number): number => between(rng.uniform(), [-most, most]);
      const tangent = (): number => Math.tan((symmetric(options.shear) * Math.PI) / 180);
      move(change, [1 / factor, 0, 0, 0, 1 / factor, 0]);
      rotate(change, size, between(rng.uniform(), options.rotate));
      shear(change, size, { x: tangent(), y: tangent() });
      translate(change, symmetric(options.translate), symmetric(options.translate));
    },
  };
}
