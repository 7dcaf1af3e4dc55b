import type { ImageAugmentation } from "./augmentation.ts";
import type { ImageChange } from "./image-change.ts";
import { between, type Range } from "./range.ts";

/** Changes of each byte by itself, as a table of 256 numbers on the scale 0..255 for each channel. */

const channels = 3;

export function identityCurves(): Float32Array {
  return Float32Array.from({ length: channels * 256 }, (_, i) => i % 256);
}

/** What the bytes became is put through `curve`. */
function bend(change: ImageChange, curve: (value: number) => number): void {
  if (change.curves !== undefined) {
    change.curves = change.curves.map(curve);
    return;
  }
  // The same for all channels.
  const one = Float32Array.from({ length: 256 }, (_, value) => curve(value));
  change.curves = new Float32Array(channels * 256);
  for (let channel = 0; channel < channels; channel++) change.curves.set(one, channel * 256);
}

/** 255 (x / 255)^exponent: above 1 darker, below 1 brighter. */
export const gamma = (change: ImageChange, exponent: number): void =>
  bend(change, (value) => 255 * (value / 255) ** exponent);

/** Keeps the highest `bits` of each byte. */
export function posterize(change: ImageChange, bits: number): void {
  const step = 2 ** (8 - bits);
  bend(change, (value) => Math.floor(value / step) * step);
}

/** Inverts what is at least `threshold`. */
export const solarize = (change: ImageChange, threshold: number): void =>
  bend(change, (value) => (value >= threshold ? 255 - value : value));

/** Stretches each channel of the image to the whole range 0..255. */
export function autoContrast(change: ImageChange, pixels: Uint8Array): void {
  eachChannel(change, pixels, (curve, histogram) => {
    const present = curve.filter((_, value) => histogram[value]! > 0);
    const [low, high] = [Math.min(...present), Math.max(...present)];
    return high > low ? curve.map((value) => clampByte(((value - low) * 255) / (high - low))) : curve;
  });
}

/** Histogram equalisation of each channel, as PIL and torchvision compute it. */
export function equalize(change: ImageChange, pixels: Uint8Array): void {
  eachChannel(change, pixels, (curve, before) => {
    const bytes = curve.map((value) => clampByte(Math.floor(value)));
    const histogram = new Float64Array(256);
    before.forEach((count, value) => {
      histogram[bytes[value]!]! += count;
    });
    const last = histogram.findLast((count) => count > 0) ?? 0;
    const step = Math.floor((pixels.length / channels - last) / 255);
    if (step === 0) return curve;
    const table = new Float64Array(256);
    let below = 0;
    histogram.forEach((count, value) => {
      table[value] = Math.min(255, Math.floor((below + Math.floor(step / 2)) / step));
      below += count;
    });
    return bytes.map((byte) => table[byte]!);
  });
}

const clampByte = (value: number): number => Math.min(255, Math.max(0, value));

function eachChannel(
  change: ImageChange,
  pixels: Uint8Array,
  alter: (curve: Float32Array, histogram: Float64Array) => Float32Array,
): void {
  const curves = change.curves?.slice() ?? identityCurves();
  const plane = pixels.length / channels;
  for (let channel = 0; channel < channels; channel++) {
    const histogram = new Float64Array(256);
    for (let i = channel * plane; i < (channel + 1) * plane; i++) histogram[pixels[i]!]!++;
    const curve = curves.subarray(channel * 256, (channel + 1) * 256);
    curve.set(alter(curve, histogram));
  }
  change.curves = curves;
}

/** An exponent log-uniform in `range`. */
export function randomGamma(range: Range, probability: number): ImageAugmentation {
  return {
    needs: ["curves"],
    apply(change, { rng }) {
      if (rng.uniform() >= probability) return;
      gamma(change, Math.exp(between(rng.uniform(), [Math.log(range[0]), Math.log(range[1])])));
    },
  };
}
