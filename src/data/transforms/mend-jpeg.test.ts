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
