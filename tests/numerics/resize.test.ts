import { readFileSync } from "node:fs";
import sharp from "sharp";
import { expect, it } from "vitest";
import { decodeImage } from "../../src/data/transforms/decode-image.ts";
import { resample } from "../../src/data/transforms/resample.ts";

interface Case {
  readonly width: number;
  readonly height: number;
  readonly size: number;
  /** Of a checkerboard; otherwise waves. */
  readonly square?: number;
  readonly stride: number;
  /** Planes of every stride-th pixel, in base64. */
  readonly pixels: string;
}

const { cases } = JSON.parse(readFileSync(new URL("../goldens/resize.json", import.meta.url), "utf8")) as {
  readonly cases: readonly Case[];
};

/** As scripts/goldens/resize.py makes them. */
function imageOf({ width, height, square }: Case): Buffer {
  const data = Buffer.alloc(width * height * 3);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const steps = Math.floor((x * x * 7 + y * y * 13 + x * y * 3) / 512);
      for (let channel = 0; channel < 3; channel++, at++) {
        data[at] =
          square === undefined
            ? (steps + 85 * channel) & 255
            : ((Math.floor(x / square) + Math.floor(y / square)) % 2) * 255;
      }
    }
  }
  return data;
}

/** Of every stride-th pixel of [3, size, size]. */
function largestDifference({ size, stride, pixels }: Case, planes: ArrayLike<number>): number {
  const expected = Buffer.from(pixels, "base64");
  const side = Math.ceil(size / stride);
  expect(expected).toHaveLength(3 * side * side);
  let largest = 0;
  expected.forEach((value, i) => {
    const [channel, y, x] = [Math.floor(i / side ** 2), Math.floor(i / side) % side, i % side];
    const actual = planes[channel! * size * size + y! * stride * size + x! * stride]!;
    largest = Math.max(largest, Math.abs(actual - value));
  });
  return largest;
}

const nameOf = ({ width, height, size, square }: Case): string =>
  `${square === undefined ? "waves" : `a checkerboard of ${square}`}, ${width}x${height} to ${size}`;

it.each(cases.map((one) => [nameOf(one), one] as const))("%s is as Pillow's", async (_, one) => {
  const { width, height, size } = one;
  const data = imageOf(one);
  const small = resample({ data, width, height, channels: 3 }, { width: size, height: size });
  const planes = Uint8Array.from(
    small.data,
    (_value, i) => small.data[(i % size ** 2) * 3 + Math.floor(i / size ** 2)]!,
  );
  expect(largestDifference(one, planes)).toBeLessThanOrEqual(1);

  const raw = { width, height, channels: 3 } as const;
  const png = await sharp(data, { raw }).png({ compressionLevel: 1 }).toBuffer();
  const image = await decodeImage(png, { width: size, height: size }, { maxBytes: 1e8 });
  // Up to a factor of four the image library does it, whose weights have fewer bits.
  const factor = width / size;
  const bound = factor > 1 && factor < 4 && one.square === undefined ? 4 : 2;
  expect(largestDifference(one, image.data)).toBeLessThanOrEqual(bound);
});
