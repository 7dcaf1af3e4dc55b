/** Figures of an image that its content changes little and its quality much: what drift is looked for in. */
export type ImageStatistics = readonly [
  brightness: number,
  contrast: number,
  saturation: number,
  gradient: number,
  laplacian: number,
];

/** Places a side at most: large images are looked at on a grid. */
const gridSize = 32;

/** @param image 3 planes (R, G, B) of height rows of width bytes */
export function imageStatistics(image: Uint8Array, height: number, width: number): ImageStatistics {
  const plane = height * width;
  const stepY = Math.max(1, Math.floor(height / gridSize));
  const stepX = Math.max(1, Math.floor(width / gridSize));
  const gray = (at: number): number => 0.299 * image[at]! + 0.587 * image[plane + at]! + 0.114 * image[2 * plane + at]!;
  let count = 0;
  let sum = 0;
  let squares = 0;
  let saturation = 0;
  let gradient = 0;
  let laplacian = 0;
  for (let y = 1; y < height - 1; y += stepY) {
    for (let x = 1; x < width - 1; x += stepX) {
      const at = y * width + x;
      const [r, g, b] = [image[at]!, image[plane + at]!, image[2 * plane + at]!];
      const value = gray(at);
      const [left, right, above, below] = [gray(at - 1), gray(at + 1), gray(at - width), gray(at + width)];
      count++;
      sum += value;
      squares += value * value;
      saturation += Math.max(r, g, b) - Math.min(r, g, b);
      gradient += Math.abs(right - left) + Math.abs(below - above);
      laplacian += Math.abs(4 * value - left - right - above - below);
    }
  }
  if (count === 0) return [0, 0, 0, 0, 0];
  const mean = sum / count;
  const contrast = Math.sqrt(Math.max(0, squares / count - mean * mean));
  // Logarithms: a doubling of noise counts the same whether there was much or little of it.
  const log = (total: number): number => Math.log1p(total / count);
  return [mean, contrast, log(saturation), log(gradient), log(laplacian)];
}

/** In the same steps for reference and service: tests compare distributions, and rounding one of them would shift it. */
export function quantised(probabilities: ArrayLike<number>): number[] {
  return Array.from(probabilities, (value) => Math.round(value * 1e4) / 1e4);
}

/** Logits and image statistics in one vector, to five significant digits. */
export function driftFeatures(logits: ArrayLike<number>, statistics: ImageStatistics): number[] {
  return [...Array.from(logits), ...statistics].map((value) => Number(value.toPrecision(5)));
}
