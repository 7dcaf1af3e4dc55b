import { describe, expect, it } from "vitest";
import { decodeBmp } from "./decode-bmp.ts";
import { decodeImage } from "./decode-image.ts";

interface BmpOptions {
  readonly width: number;
  /** Negative: rows from the top. */
  readonly height: number;
  readonly bits: number;
  /** Palette entries or pixel rows as they stand in the file. */
  readonly palette?: readonly (readonly number[])[];
  readonly rows: readonly (readonly number[])[];
  readonly headerSize?: number;
  readonly compression?: number;
  readonly masks?: readonly number[];
}

function bmp({ width, height, bits, palette = [], rows, headerSize = 40, compression = 0, masks = [] }: BmpOptions) {
  const stride = 4 * Math.ceil((width * bits) / 32);
  const offset = 14 + headerSize + 4 * palette.length;
  const file = Buffer.alloc(offset + stride * rows.length);
  file.write("BM");
  file.writeUInt32LE(file.length, 2);
  file.writeUInt32LE(offset, 10);
  file.writeUInt32LE(headerSize, 14);
  file.writeInt32LE(width, 18);
  file.writeInt32LE(height, 22);
  file.writeUInt16LE(1, 26);
  file.writeUInt16LE(bits, 28);
  file.writeUInt32LE(compression, 30);
  file.writeUInt32LE(palette.length, 46);
  masks.forEach((mask, i) => {
    file.writeUInt32LE(mask, 54 + 4 * i);
  });
  palette.forEach((entry, i) => {
    file.set(entry, 14 + headerSize + 4 * i);
  });
  rows.forEach((row, i) => {
    file.set(row, offset + stride * i);
  });
  return file;
}

const [red, green, blue, white] = [
  [255, 0, 0],
  [0, 255, 0],
  [0, 0, 255],
  [255, 255, 255],
];
const bgr = ([r, g, b]: number[]) => [b!, g!, r!];
const picture = [...red!, ...green!, ...blue!, ...white!];
const bottomUp = [
  [...bgr(blue!), ...bgr(white!)],
  [...bgr(red!), ...bgr(green!)],
];
const palette = [red, green, blue, white].map((colour) => [...bgr(colour!), 0]);

describe("decodeBmp", () => {
  it.each([
    ["24 bits", bmp({ width: 2, height: 2, bits: 24, rows: bottomUp })],
    ["24 bits from the top", bmp({ width: 2, height: -2, bits: 24, rows: [...bottomUp].reverse() })],
    [
      "32 bits, whose fourth byte means nothing",
      bmp({ width: 2, height: 1, bits: 32, rows: [[...bgr(red!), 9, ...bgr(green!), 0]] }),
    ],
    [
      "8 bits",
      bmp({
        width: 2,
        height: 2,
        bits: 8,
        palette,
        rows: [
          [2, 3],
          [0, 1],
        ],
      }),
    ],
    ["4 bits", bmp({ width: 2, height: 2, bits: 4, palette, rows: [[0x23], [0x01]] })],
    ["1 bit", bmp({ width: 2, height: 1, bits: 1, palette: palette.slice(0, 2), rows: [[0b01000000]] })],
  ])("reads %s", async (_name, file) => {
    const { data, width, height, channels } = decodeBmp(file);
    expect(channels).toBe(3);
    expect([...data]).toEqual(picture.slice(0, width * height * 3));
  });

  it("reads alpha where a mask says that there is some, as white behind it", async () => {
    const file = bmp({
      width: 2,
      height: 1,
      bits: 32,
      headerSize: 108,
      compression: 3,
      masks: [0x00ff0000, 0x0000ff00, 0x000000ff, 0xff000000],
      rows: [[...bgr(red!), 255, ...bgr(red!), 0]],
    });
    expect([...decodeBmp(file).data]).toEqual([255, 0, 0, 255, 255, 0, 0, 0]);
    const { data } = await decodeImage(file, { height: 1, width: 2 });
    expect([...data]).toEqual([255, 255, 0, 255, 0, 255]);
  });

  const good = bmp({ width: 2, height: 2, bits: 24, rows: bottomUp });
  const changed = (change: (file: Buffer) => void) => {
    const file = Buffer.from(good);
    change(file);
    return file;
  };
  it.each([
    ["cut in the header", good.subarray(0, 30), "IMAGE_CORRUPT"],
    ["cut in the pixels", good.subarray(0, good.length - 1), "IMAGE_CORRUPT"],
    ["of no width", changed((file) => file.writeInt32LE(0, 18)), "IMAGE_CORRUPT"],
    ["of the least possible height", changed((file) => file.writeInt32LE(-(2 ** 31), 22)), "IMAGE_TOO_LARGE"],
    [
      "of huge size",
      changed((file) => file.writeInt32LE(60_000, 18).valueOf() && file.writeInt32LE(60_000, 22)),
      "IMAGE_TOO_LARGE",
    ],
    ["with pixels behind its end", changed((file) => file.writeUInt32LE(1e6, 10)), "IMAGE_CORRUPT"],
    ["with 16 bits", changed((file) => file.writeUInt16LE(16, 28)), "IMAGE_UNSUPPORTED"],
    ["compressed by run lengths", changed((file) => file.writeUInt32LE(1, 30)), "IMAGE_UNSUPPORTED"],
    ["of OS/2", changed((file) => file.writeUInt32LE(12, 14)), "IMAGE_UNSUPPORTED"],
    ["whose palette is too short", bmp({ width: 1, height: 1, bits: 8, palette, rows: [[9]] }), "IMAGE_CORRUPT"],
  ])("refuses a file %s", async (_name, file, code) => {
    await expect(decodeImage(file, { height: 8, width: 8 })).rejects.toMatchObject({ code });
  });
});
