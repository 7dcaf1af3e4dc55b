/** The nearest multiple of 8, at least 8 and not below nine tenths of the number (torchvision's _make_divisible). */
export function roundToEight(channels: number): number {
  const rounded = Math.max(8, Math.floor((channels + 4) / 8) * 8);
  return rounded < 0.9 * channels ? rounded + 8 : rounded;
}
