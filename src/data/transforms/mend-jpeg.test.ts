import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { decodeImage } from "./decode-image.ts";
import { mendJpeg } from "./mend-jpeg.ts";

const size = { height: 32, width: 32 };
const noise = Buffer.from(Array.from({ length: 96 * 64 * 3 }, (_, i) => (i * 37 + ((i * i) >> 3)) & 255));
const jfif = Buffer.from("ffe000104a46494600010100000100010000", "hex");

async function encode(options = {}): Promise<Buffer> {
  const image = sharp(noise, { raw: { width: 96, height: 64, channels: 3 } });
  const jpeg = await image.jpeg(options).toBuffer();
  return Buffer.concat([jpeg.subarray(0, 2), jfif, jpeg.subarray(2)]);
}

const startOfScan = (jpeg: Buffer) => jpeg.indexOf(Buffer.from([0xff, 0xda]));

function oddScanParameters(jpeg: Buffer): Buffer {
  const copy = Buffer.from(jpeg);
  const at = startOfScan(copy);
  copy[at + 2 + copy.readUInt16BE(at + 2) - 2] = 0;
  return copy;
}

function strayBytes(jpeg: Buffer): Buffer {
  const parts: Buffer[] = [];
  let last = 0;
  for (let at = 2; at < startOfScan(jpeg) + 2; at++) {
    if (jpeg[at] !== 0xff || ![0xdb, 0xc4, 0xda].includes(jpeg[at + 1]!)) continue;
    parts.push(jpeg.subarray(last, at), Buffer.from([9, 0xff, 0, 7]));
    last = at;
  }
  return Buffer.concat([...parts, jpeg.subarray(last)]);
}

/** Offsets of the markers that end a scan. */
function scanEnds(jpeg: Buffer): number[] {
  const ends: number[] = [];
  for (let at = startOfScan(jpeg), inScan = false; at + 1 < jpeg.length; at++) {
    if (jpeg[at] !== 0xff || jpeg[at + 1] === 0 || jpeg[at + 1] === 0xff) continue;
    if (inScan) ends.push(at);
    inScan = jpeg[at + 1] === 0xda;
  }
  return ends;
}

function insertAt(jpeg: Buffer, places: readonly number[]): Buffer {
  const stray = Buffer.from("01020304050607080900000000000000", "hex");
  const bounds = [0, ...places, jpeg.length];
  const parts = bounds.slice(1).map((end, i) => jpeg.subarray(bounds[i], end));
  return Buffer.concat(parts.flatMap((part, i) => (i === 0 ? [part] : [stray, part])));
}

function oddVersion(jpeg: Buffer): Buffer {
  const copy = Buffer.from(jpeg);
  copy[jpeg.indexOf("JFIF") + 5] = 9;
  return copy;
}

const slips = [
  ["odd scan parameters", oddScanParameters],
  ["stray bytes between segments", strayBytes],
  ["an odd JFIF version", oddVersion],
  ["all of it", (jpeg: Buffer) => strayBytes(oddVersion(oddScanParameters(jpeg)))],
] as const;

describe("mendJpeg", () => {
  it.each(slips)("lets a JPEG with %s decode to the pixels of the sound one", async (_name, slip) => {
    for (const subsampling of ["4:4:4", "4:2:0"]) {
      const jpeg = await encode({ chromaSubsampling: subsampling });
      expect((await decodeImage(slip(jpeg), size)).data).toEqual((await decodeImage(jpeg, size)).data);
    }
  });

  it("lets a progressive JPEG with stray bytes before its first scan decode", async () => {
    const jpeg = await encode({ progressive: true });
    expect((await decodeImage(strayBytes(jpeg), size)).data).toEqual((await decodeImage(jpeg, size)).data);
  });

  it("lets a progressive JPEG with stray bytes after one or all of its scans decode", async () => {
    const jpeg = await encode({ progressive: true });
    const expected = (await decodeImage(jpeg, size)).data;
    const ends = scanEnds(jpeg);
    expect(ends.length).toBeGreaterThan(5);
    for (const places of [...ends.map((end) => [end]), ends])
      expect((await decodeImage(insertAt(jpeg, places), size)).data).toEqual(expected);
  });

  it("does not hide that a progressive JPEG with stray bytes lacks bytes of a scan", async () => {
    const jpeg = await encode({ progressive: true });
    const ends = scanEnds(jpeg);
    for (const [index, end] of ends.entries()) {
      const cut = Buffer.concat([jpeg.subarray(0, end - 30), jpeg.subarray(end)]);
      const place = (ends[(index + 3) % ends.length] ?? 0) - ((index + 3) % ends.length >= index ? 30 : 0);
      await expect(decodeImage(insertAt(cut, [place]), size)).rejects.toMatchObject({ code: "IMAGE_CORRUPT" });
    }
  });

  it.each(slips)("does not hide that a JPEG with %s is truncated", async (_name, slip) => {
    const jpeg = slip(await encode());
    for (const share of [0.3, 0.6, 0.98]) {
      const cut = jpeg.subarray(0, Math.floor(jpeg.length * share));
      for (const file of [cut, Buffer.concat([cut, Buffer.from([0xff, 0xd9])])])
        await expect(decodeImage(file, size)).rejects.toMatchObject({ code: "IMAGE_CORRUPT" });
    }
  });

  it("leaves a sound JPEG alone, also with restarts and several scans", async () => {
    for (const jpeg of [await encode(), await encode({ progressive: true })]) expect(mendJpeg(jpeg)).toBeUndefined();
  });
});
