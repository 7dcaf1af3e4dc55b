import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { decodeImage } from "../data/transforms/decode-image.ts";
import { ImageDecoder } from "./image-decoder.ts";

const size = { height: 16, width: 16 };
const noise = Buffer.from(Uint8Array.from({ length: 3 * 40 * 30 }, (_, i) => (i * 7919) % 251));
const source = sharp(noise, { raw: { width: 40, height: 30, channels: 3 } });
const jpeg = await source.clone().jpeg({ quality: 90 }).toBuffer();

/** With a stray byte behind its first segment, which leaves every pixel whole. */
const firstEnd = 4 + jpeg.readUInt16BE(4);
const slipped = Buffer.concat([jpeg.subarray(0, firstEnd), Buffer.from([0]), jpeg.subarray(firstEnd)]);

function bmp(): Buffer {
  const file = Buffer.alloc(54 + 3 * 40 * 30);
  file.write("BM");
  file.writeUInt32LE(54, 10);
  file.writeUInt32LE(40, 14);
  file.writeInt32LE(40, 18);
  file.writeInt32LE(30, 22);
  file.writeUInt16LE(1, 26);
  file.writeUInt16LE(24, 28);
  noise.copy(file, 54);
  return file;
}

describe("ImageDecoder", () => {
  const files = {
    ...{ JPEG: jpeg, "JPEG with a slip": slipped, BMP: bmp() },
    "truncated JPEG": jpeg.subarray(0, jpeg.length - 300),
    text: Buffer.from("no image"),
    "empty file": Buffer.alloc(0),
    "BMP without pixels": bmp().subarray(0, 60),
  };

  it.each(Object.entries(files))("says of a %s what decodeImage says", async (_, file) => {
    using decoder = new ImageDecoder();
    const outcomeOf = (decoding: Promise<{ readonly data: Uint8Array }>) =>
      decoding.then(
        ({ data }) => Buffer.from(data).toString("hex"),
        ({ code, message, remedy }) => ({ code, message, remedy }),
      );
    expect(await outcomeOf(decoder.decode(file, size))).toEqual(await outcomeOf(decodeImage(file, size)));
  });

  it("leaves the caller's bytes alone and decodes many at once", async () => {
    using decoder = new ImageDecoder();
    const file = bmp();
    const before = Buffer.from(file);
    const images = await Promise.all(Array.from({ length: 8 }, () => decoder.decode(file, size)));
    expect(file).toEqual(before);
    const { data } = await decodeImage(file, size);
    for (const image of images) expect(Buffer.from(image.data)).toEqual(Buffer.from(data));
  });

  it("finishes the images in hand when it is closed", async () => {
    const decoder = new ImageDecoder();
    const first = decoder.decode(bmp(), size);
    const second = decoder.decode(slipped, size);
    await new Promise((resolve) => setImmediate(resolve));
    decoder[Symbol.dispose]();
    expect((await first).shape).toEqual([3, 16, 16]);
    expect((await second).shape).toEqual([3, 16, 16]);
  });
});
