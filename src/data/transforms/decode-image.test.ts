import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { decodeImage } from "./decode-image.ts";

const size = { height: 32, width: 32 };
const pixels = Buffer.from(Array.from({ length: 32 * 32 * 3 }, (_, i) => (i * 37 + ((i * i) >> 3)) & 255));
const source = () => sharp(pixels, { raw: { width: 32, height: 32, channels: 3 } });
const planes = Uint8Array.from({ length: 3072 }, (_, i) => pixels[(i % 1024) * 3 + Math.floor(i / 1024)]!);

/** A flat colour as [3, 32, 32]. */
const flat = (...rgb: number[]) => Uint8Array.from({ length: 3072 }, (_, i) => rgb[Math.floor(i / 1024)]!);

function expectNear(actual: Uint8Array, expected: Uint8Array, tolerance: number) {
  const worst = actual.reduce((max, value, i) => Math.max(max, Math.abs(value - expected[i]!)), 0);
  expect(worst).toBeLessThanOrEqual(tolerance);
}

describe("decodeImage", () => {
  it.each([
    ["PNG", () => source().png()],
    ["lossless WebP", () => source().webp({ lossless: true })],
    ["PNG with an sRGB profile", () => source().withIccProfile("srgb").png()],
    ["opaque RGBA PNG", () => source().ensureAlpha().png()],
    ["16-bit PNG", () => source().toColourspace("rgb16").png()],
    ["interlaced PNG", () => source().png({ progressive: true })],
  ])("keeps the pixels of a %s of the right size bit for bit", async (_name, make) => {
    const image = await decodeImage(await make().toBuffer(), size);
    expect(image.shape).toEqual([3, 32, 32]);
    expect(image.data).toEqual(planes);
  });

  it("repeats gray and 16-bit gray in all three planes", async () => {
    const gray = await source().greyscale().toColourspace("b-w").raw().toBuffer();
    const expected = Uint8Array.from({ length: 3072 }, (_, i) => gray[i % 1024]!);
    for (const space of ["b-w", "grey16"]) {
      const file = await source().greyscale().toColourspace(space).png().toBuffer();
      expect((await decodeImage(file, size)).data).toEqual(expected);
    }
  });

  it("takes transparent parts as white", async () => {
    const file = await source().ensureAlpha(0).png().toBuffer();
    expect((await decodeImage(file, size)).data).toEqual(flat(255, 255, 255));
  });

  const colour = { r: 200, g: 60, b: 30 };
  const flatImage = (width = 50, height = 40) => sharp({ create: { width, height, channels: 3, background: colour } });
  it.each([
    ["JPEG", 3, () => flatImage().jpeg()],
    ["progressive JPEG", 3, () => flatImage().jpeg({ progressive: true })],
    // The colour lies outside the print gamut; an inverted or misread file would be off by more than 100.
    ["CMYK JPEG", 35, () => flatImage().toColourspace("cmyk").jpeg()],
    ["GIF", 3, () => flatImage().gif()],
    ["palette PNG", 3, () => flatImage().png({ palette: true })],
    ["lossy WebP", 4, () => flatImage().webp()],
    ["AVIF", 4, () => flatImage().avif()],
    ["very wide image", 3, () => flatImage(2000, 3).png()],
  ])("converts and resizes a %s", async (_name, tolerance, make) => {
    const image = await decodeImage(await make().toBuffer(), size);
    expectNear(image.data, flat(200, 60, 30), tolerance);
  });

  it("takes the first frame of an animation", async () => {
    const frame = (background: string) => sharp({ create: { width: 32, height: 32, channels: 3, background } }).png();
    const frames = [await frame("#ff0000").toBuffer(), await frame("#0000ff").toBuffer()];
    for (const format of ["gif", "webp"] as const) {
      const file = await sharp(frames, { join: { animated: true } })
        .toFormat(format, { lossless: true })
        .toBuffer();
      expectNear((await decodeImage(file, size)).data, flat(255, 0, 0), 3);
    }
  });

  it.each([
    [1, "original"],
    [3, "turned by 180"],
    [6, "turned by 90"],
    [8, "turned by 270"],
  ])("applies EXIF orientation %i (%s)", async (orientation) => {
    const turns: Record<number, number> = { 1: 0, 3: 180, 6: 90, 8: 270 };
    const file = await source().withMetadata({ orientation }).png().toBuffer();
    const turned = await source().rotate(turns[orientation]!).png().toBuffer();
    expect((await decodeImage(file, size)).data).toEqual((await decodeImage(turned, size)).data);
  });

  it("gives the same bits each time, whatever runs beside it", async () => {
    const file = await source().resize(301, 207).jpeg().toBuffer();
    const [first, ...others] = await Promise.all(Array.from({ length: 12 }, () => decodeImage(file, size)));
    for (const other of others) expect(other.data).toEqual(first!.data);
  });

  const big = () => source().resize(300, 200);
  it.each([
    [32, 32],
    [100, 60],
    [17, 90],
  ])("gives the same tensor of %i x %i for the same pixels in every format", async (width, height) => {
    const jpeg = await big().jpeg().withMetadata({ orientation: 6 }).toBuffer();
    const decoded = () => sharp(jpeg).keepMetadata();
    const files = [await decoded().png().toBuffer(), await decoded().webp({ lossless: true }).toBuffer()];
    const expected = await decodeImage(jpeg, { height, width });
    for (const file of files)
      expect(Buffer.compare((await decodeImage(file, { height, width })).data, expected.data)).toBe(0);
  });

  it.each([
    ["JPEG", () => big().jpeg()],
    ["PNG", () => big().png()],
    ["WebP", () => big().webp()],
    ["GIF", () => big().gif()],
  ])("refuses a truncated %s wherever it is cut", async (_name, make) => {
    const file = await make().toBuffer();
    for (const share of [0.1, 0.5, 0.9]) {
      const cut = file.subarray(0, Math.floor(file.length * share));
      await expect(decodeImage(cut, size)).rejects.toMatchObject({ code: "IMAGE_CORRUPT" });
    }
  });

  it.each([
    ["SVG", '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'],
    ["HTML", "<!doctype html><p>not an image</p>"],
    ["PDF", "%PDF-1.4\n1 0 obj\n<<>>\nendobj\n"],
    ["text", "plain text that goes on for a while"],
    ["one byte", "x"],
    ["PPM", "P3 1 1 255 1 2 3"],
  ])("refuses %s", async (_name, text) => {
    await expect(decodeImage(Buffer.from(text), size)).rejects.toMatchObject({ code: "IMAGE_UNSUPPORTED" });
  });

  it("refuses formats outside its list that the library could read", async () => {
    const file = await source().tiff().toBuffer();
    await expect(decodeImage(file, size)).rejects.toMatchObject({ code: "IMAGE_UNSUPPORTED" });
  });

  it("refuses an empty file, too many bytes and too many pixels, naming the limit", async () => {
    const file = await big().png().toBuffer();
    await expect(decodeImage(new Uint8Array(0), size)).rejects.toMatchObject({ code: "IMAGE_EMPTY" });
    await expect(decodeImage(file, size, { maxBytes: 100 })).rejects.toThrow(/limit is 100/);
    await expect(decodeImage(file, size, { maxPixels: 59_999 })).rejects.toThrow(/300 x 200 = 60000 pixels.*59999/);
    expect((await decodeImage(file, size, { maxPixels: 60_000 })).shape).toEqual([3, 32, 32]);
  });

  it("answers random and mutated bytes with an image or one of its own errors", async () => {
    const seeds = await Promise.all([big().jpeg(), big().png(), big().webp(), big().gif()].map((s) => s.toBuffer()));
    let state = 12345;
    const random = (bound: number) => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return state % bound;
    };
    for (let round = 0; round < 120; round++) {
      const bytes = Buffer.from(seeds[round % seeds.length]!);
      for (let i = 0; i <= round % 7; i++)
        bytes[random(Math.min(bytes.length, round < 60 ? 64 : bytes.length))] = random(256);
      await decodeImage(bytes, size).then(
        (image) => expect(image.data.length).toBe(3072),
        (error) => expect(error.code).toMatch(/^IMAGE_/),
      );
    }
  });
});
