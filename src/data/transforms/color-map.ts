/** Row-major 3x3. */
type Matrix = readonly number[];

/** A linear map of colours that may use the image's mean colour: x -> own x + mean (mean of x). */
export interface ColorMap {
  readonly own: Matrix;
  readonly mean: Matrix;
}

export const identityMatrix: Matrix = [1, 0, 0, 0, 1, 0, 0, 0, 1];
const none: Matrix = [0, 0, 0, 0, 0, 0, 0, 0, 0];

export const identityColor: ColorMap = { own: identityMatrix, mean: none };

/** Luma of ITU-R BT.601, as torchvision and PIL turn colours to gray. */
const luma = [0.299, 0.587, 0.114] as const;
const gray: Matrix = [...luma, ...luma, ...luma];

function multiply(a: Matrix, b: Matrix): number[] {
  const product: number[] = [];
  for (let row = 0; row < 9; row += 3) {
    for (let column = 0; column < 3; column++) {
      product.push(a[row]! * b[column]! + a[row + 1]! * b[column + 3]! + a[row + 2]! * b[column + 6]!);
    }
  }
  return product;
}

function combine(a: Matrix, fa: number, b: Matrix, fb: number): number[] {
  return a.map((value, i) => fa * value + fb * b[i]!);
}

/** The map followed by a matrix. */
export function recolor({ own, mean }: ColorMap, by: Matrix): ColorMap {
  return { own: multiply(by, own), mean: multiply(by, mean) };
}

export const brighten = (map: ColorMap, factor: number): ColorMap =>
  recolor(map, combine(identityMatrix, factor, none, 0));

/** Blends each pixel with its own gray. */
export const saturate = (map: ColorMap, factor: number): ColorMap =>
  recolor(map, combine(identityMatrix, factor, gray, 1 - factor));

/**
 * Blends with one gray: the mean over the image of its luma (torchvision's and PIL's contrast; Albumentations' scales
 * about mid-gray). The mean is that of the image after the changes before this one.
 */
export function contrast({ own, mean }: ColorMap, factor: number): ColorMap {
  return {
    own: combine(own, factor, none, 0),
    mean: combine(mean, factor, multiply(gray, combine(own, 1, mean, 1)), 1 - factor),
  };
}

/**
 * Turns colours about the gray axis: linear, keeps r + g + b and the distance from gray. torchvision shifts the hue of
 * HSV instead, which keeps the largest and the smallest component; after thirds of a turn the two are the same, and
 * docs/augmentation.md tells how far apart they are between.
 */
export function shiftHue(map: ColorMap, turns: number): ColorMap {
  const angle = 2 * Math.PI * turns;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle) / Math.sqrt(3)];
  const [same, next, last] = [(1 + 2 * cos) / 3, (1 - cos) / 3 + sin, (1 - cos) / 3 - sin];
  // Hue grows from red to green to blue.
  return recolor(map, [same, last, next, next, same, last, last, next, same]);
}
