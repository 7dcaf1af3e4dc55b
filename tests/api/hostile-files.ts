import { Readable } from "node:stream";
import { crc32, createDeflate, deflateSync } from "node:zlib";
import sharp from "sharp";

const colour = { width: 48, height: 40, channels: 3 as const, background: "#cc7722" };
const picture = () => sharp({ create: colour });
const noise = (width: number, height: number) =>
  sharp(Buffer.from(Array.from({ length: width * height * 3 }, (_, i) => (i * 7919) & 255)), {
    raw: { width, height, channels: 3 },
  });

function chunk(type: string, data: Uint8Array, { wrongSum = false, length = data.length } = {}): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const out = Buffer.alloc(8 + data.length + 4);
  out.writeUInt32BE(length >>> 0, 0);
  body.copy(out, 4);
  out.writeUInt32BE((crc32(body) ^ (wrongSum ? 1 : 0)) >>> 0, 8 + data.length);
  return out;
}

interface PngOptions {
  readonly width?: number;
  readonly height?: number;
  readonly depth?: number;
  readonly colourType?: number;
  readonly interlace?: number;
  readonly raw?: Uint8Array;
  readonly before?: readonly Buffer[];
  readonly wrongSum?: boolean;
}

const pngSignature = Buffer.from("89504e470d0a1a0a", "hex");

function png({
  width = 4,
  height = 4,
  depth = 8,
  colourType = 2,
  interlace = 0,
  raw = Buffer.alloc(height * (1 + width * 3)),
  before = [],
  wrongSum = false,
}: PngOptions = {}): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([depth, colourType, 0, 0, interlace], 8);
  return Buffer.concat([
    pngSignature,
    chunk("IHDR", header, { wrongSum }),
    ...before,
    chunk("IDAT", deflateSync(raw)),
    chunk("IEND", new Uint8Array()),
  ]);
}

/** A gray PNG of one bit, size x size, all of one colour: some kilobytes whatever its size. Compressed row by row. */
export async function hugeUniformPng(size: number): Promise<Buffer> {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(size, 0);
  header.writeUInt32BE(size, 4);
  header.set([1, 0, 0, 0, 0], 8);
  const row = Buffer.alloc(100 * (1 + Math.ceil(size / 8)));
  const rows = function* () {
    for (let y = 0; y < size; y += 100) yield row;
  };
  const parts: Buffer[] = [];
  for await (const part of Readable.from(rows()).pipe(createDeflate())) parts.push(part as Buffer);
  return Buffer.concat([
    pngSignature,
    chunk("IHDR", header),
    chunk("IDAT", Buffer.concat(parts)),
    chunk("IEND", new Uint8Array()),
  ]);
}

function gif(width: number, height: number, frames: number): Buffer {
  const head = Buffer.from("GIF89a\0\0\0\0\x80\0\0\0\0\0\xff\xff\xff", "latin1");
  head.writeUInt16LE(width, 6);
  head.writeUInt16LE(height, 8);
  const image = Buffer.from(",\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0", "latin1");
  return Buffer.concat([head, ...new Array<Buffer>(frames).fill(image), Buffer.from(";")]);
}

function bmp(width: number, height: number, bits: number, pixels: number): Buffer {
  const file = Buffer.alloc(54 + pixels);
  file.write("BM");
  file.writeUInt32LE(54, 10);
  file.writeUInt32LE(40, 14);
  file.writeInt32LE(width, 18);
  file.writeInt32LE(height, 22);
  file.writeUInt16LE(bits, 28);
  return file;
}

const replaced = async (file: Promise<Buffer>, change: (bytes: Buffer) => void): Promise<Buffer> => {
  const bytes = Buffer.from(await file);
  change(bytes);
  return bytes;
};
const cut = async (file: Promise<Buffer>, share: number) => {
  const bytes = await file;
  return bytes.subarray(0, Math.floor(bytes.length * share));
};
/** A JPEG whose pixels give way to nine million bytes of a pattern: the largest upload that a server takes, nearly. */
const jpegGoneWild = async (pattern: readonly number[]): Promise<Buffer> => {
  const good = await noise(300, 300).jpeg().toBuffer();
  return Buffer.concat([good.subarray(0, good.length >> 1), Buffer.alloc(9_000_000, Buffer.from(pattern))]);
};
const text = (value: string) => async () => Buffer.from(value, "latin1");
const bytes = (hex: string) => async () => Buffer.from(hex, "hex");

/** Files that a stranger might send. "ok": odd, but an image; the rest must be refused. */
export const hostileFiles: Record<string, { readonly expect: "ok" | "refused" | "either"; make(): Promise<Buffer> }> =
  {};

function add(expect: "ok" | "refused" | "either", files: Record<string, () => Promise<Buffer>>): void {
  for (const [name, make] of Object.entries(files)) hostileFiles[name] = { expect, make };
}

add("ok", {
  "plain JPEG": () => picture().jpeg().toBuffer(),
  "progressive JPEG": () => picture().jpeg({ progressive: true }).toBuffer(),
  "JPEG of quality 1": () => picture().jpeg({ quality: 1 }).toBuffer(),
  "JPEG 4:4:4": () => picture().jpeg({ chromaSubsampling: "4:4:4" }).toBuffer(),
  "gray JPEG": () => picture().greyscale().jpeg().toBuffer(),
  "CMYK JPEG": () => picture().toColourspace("cmyk").jpeg().toBuffer(),
  "JPEG with every EXIF orientation": () => picture().withMetadata({ orientation: 7 }).jpeg().toBuffer(),
  "JPEG with a P3 profile": () => picture().withIccProfile("p3").jpeg().toBuffer(),
  "JPEG with garbage behind its end": async () =>
    Buffer.concat([await picture().jpeg().toBuffer(), Buffer.from("<script>alert(1)</script>")]),
  "plain PNG": () => picture().png().toBuffer(),
  "interlaced PNG": () => picture().png({ progressive: true }).toBuffer(),
  "palette PNG": () => picture().png({ palette: true }).toBuffer(),
  "PNG of one bit": () => picture().greyscale().png({ palette: true, colours: 2 }).toBuffer(),
  "16-bit PNG": () => picture().toColourspace("rgb16").png().toBuffer(),
  "16-bit gray PNG": () => picture().toColourspace("grey16").png().toBuffer(),
  "PNG with alpha": () => picture().ensureAlpha(0.2).png().toBuffer(),
  "wholly transparent PNG": () => picture().ensureAlpha(0).png().toBuffer(),
  "gray PNG with alpha": () => picture().greyscale().ensureAlpha(0.5).png().toBuffer(),
  "PNG of one pixel": () => picture().resize(1, 1).png().toBuffer(),
  "PNG of one row": () => noise(4000, 1).png().toBuffer(),
  "PNG of one column": () => noise(1, 4000).png().toBuffer(),
  WebP: () => picture().webp().toBuffer(),
  "lossless WebP": () => picture().webp({ lossless: true }).toBuffer(),
  "WebP with alpha": () => picture().ensureAlpha(0.5).webp().toBuffer(),
  GIF: () => picture().gif().toBuffer(),
  "GIF of 2000 frames": async () => gif(1, 1, 2000),
  AVIF: () => picture().avif().toBuffer(),
  "BMP of 24 bits": async () => bmp(2, 2, 24, 16),
  "BMP from the top": async () => bmp(2, -2, 24, 16),
  "16-bit PNG with alpha": () => picture().toColourspace("rgb16").ensureAlpha(0.5).png().toBuffer(),
  "gray PNG of one bit, uniform, 6000 x 6000": () => hugeUniformPng(6000),
  "palette PNG, interlaced": () => picture().png({ palette: true, progressive: true }).toBuffer(),
  "progressive gray JPEG": () => picture().greyscale().jpeg({ progressive: true }).toBuffer(),
  "progressive CMYK JPEG": () => picture().toColourspace("cmyk").jpeg({ progressive: true }).toBuffer(),
  "JPEG of 640 x 480": () => noise(640, 480).jpeg().toBuffer(),
  "JPEG of 6000 x 6000": () => picture().resize(6000, 6000).jpeg().toBuffer(),
  "PNG of 2000 x 2000": () => noise(100, 100).resize(2000, 2000, { kernel: "nearest" }).png().toBuffer(),
  ...Object.fromEntries(
    [1, 2, 3, 4, 5, 6, 7, 8].flatMap((orientation) => [
      [`JPEG of orientation ${orientation}`, () => noise(31, 17).withMetadata({ orientation }).jpeg().toBuffer()],
      [`WebP of orientation ${orientation}`, () => noise(31, 17).withMetadata({ orientation }).webp().toBuffer()],
      [`PNG of orientation ${orientation}`, () => noise(31, 17).withMetadata({ orientation }).png().toBuffer()],
    ]),
  ),
  "AVIF with alpha": () => picture().ensureAlpha(0.5).avif().toBuffer(),
  "lossless AVIF": () => picture().avif({ lossless: true }).toBuffer(),
  "AVIF 4:2:0": () => picture().avif({ chromaSubsampling: "4:2:0" }).toBuffer(),
  "GIF with alpha": () => picture().ensureAlpha(0).gif().toBuffer(),
  "BMP of 3 megapixels": async () => bmp(1800, 1800, 24, 3 * 1800 * 1800),
  "polyglot of PNG and ZIP": async () =>
    Buffer.concat([await picture().png().toBuffer(), Buffer.from("504b0304140000000800504b0506", "hex")]),
  "polyglot of GIF and JavaScript": async () => Buffer.concat([gif(1, 1, 1), Buffer.from("/*';alert(1)//")]),
  "PNG with a long text": async () => png({ before: [chunk("tEXt", Buffer.alloc(50_000, 65))] }),
});

add("refused", {
  empty: text(""),
  "one byte": text("x"),
  zeros: async () => Buffer.alloc(5000),
  text: text("This is not an image."),
  JSON: text('{"image": "cat"}'),
  HTML: text("<!doctype html><script>alert(1)</script>"),
  SVG: text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'),
  "SVG that reads a file": text(
    '<?xml version="1.0"?><!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><text>&x;</text></svg>',
  ),
  "SVG with a billion laughs": text(
    '<!DOCTYPE s [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]><svg xmlns="http://www.w3.org/2000/svg">&c;</svg>',
  ),
  PDF: text("%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n"),
  PostScript: text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
  "ImageMagick MVG": text('push graphic-context\nviewbox 0 0 9 9\nfill "url(https://example.com/x)"\n'),
  ELF: bytes("7f454c4602010100000000000000000002003e00"),
  ZIP: bytes("504b0304140000000800"),
  gzip: bytes("1f8b0800000000000003"),
  "PHP behind GIF's signature": text("GIF89a<?php system($_GET['c']); ?>"),
  "JPEG's signature alone": bytes("ffd8ff"),
  "JPEG's signature and end": bytes("ffd8ffd9"),
  "PNG's signature alone": async () => pngSignature,
  "WebP's signature alone": text("RIFF\x04\0\0\0WEBP"),
  "AVIF's signature alone": text("\0\0\0\x18ftypavif\0\0\0\0avifmif1"),
  "BMP's signature alone": text("BM"),
  TIFF: () => picture().tiff().toBuffer(),
  PPM: text("P6 1 1 255\nabc"),
  "PNG of 0 x 0": async () => png({ width: 0, height: 0 }),
  "PNG of 2^31 x 2^31": async () => png({ width: 2 ** 31 - 1, height: 2 ** 31 - 1, raw: Buffer.alloc(10) }),
  "PNG that states 60000 x 60000": async () => png({ width: 60_000, height: 60_000, raw: Buffer.alloc(100) }),
  "PNG bomb of 9000 x 9000 in 80 kB": async () => png({ width: 9000, height: 9000, raw: Buffer.alloc(9000 * 27_001) }),
  "PNG with a wrong header sum": async () => png({ wrongSum: true }),
  "PNG of an unknown colour type": async () => png({ colourType: 5 }),
  "PNG of 3 bits": async () => png({ depth: 3 }),
  "PNG without pixels": async () => png({ raw: new Uint8Array() }),
  "PNG with too few rows": async () => png({ height: 40, raw: Buffer.alloc(100) }),
  "PNG with a chunk of 2 GB": async () => png({ before: [chunk("tEXt", Buffer.from("a"), { length: 2 ** 31 - 1 })] }),
  "truncated JPEG": () => cut(noise(300, 300).jpeg().toBuffer(), 0.5),
  "truncated PNG": () => cut(noise(300, 300).png().toBuffer(), 0.5),
  "truncated WebP": () => cut(noise(300, 300).webp().toBuffer(), 0.5),
  "truncated AVIF": () => cut(noise(120, 120).avif().toBuffer(), 0.5),
  "truncated GIF": () => cut(noise(300, 300).gif().toBuffer(), 0.5),
  "JPEG that states 65500 x 65500": () =>
    replaced(picture().jpeg().toBuffer(), (file) => {
      const frame = file.indexOf(Buffer.from([0xff, 0xc0]));
      file.writeUInt16BE(65_500, frame + 5);
      file.writeUInt16BE(65_500, frame + 7);
    }),
  "WebP that states 16383 x 16383": () =>
    replaced(picture().webp({ lossless: true }).toBuffer(), (file) => {
      const at = file.indexOf("VP8L");
      file.writeUInt32LE((0x3fff | (0x3fff << 14)) >>> 0, at + 9);
    }),
  "BMP of 60000 x 60000": async () => bmp(60_000, 60_000, 24, 0),
  "BMP of -2^31 rows": async () => bmp(1, -(2 ** 31), 24, 16),
  "BMP with 16 bits": async () => bmp(2, 2, 16, 16),
  "uniform PNG of 30000 x 30000": () => hugeUniformPng(30_000),
  "truncated progressive JPEG": () => cut(noise(300, 300).jpeg({ progressive: true }).toBuffer(), 0.5),
  "JPEG of ever more segments": () => jpegGoneWild([0xff, 0xe0, 0, 2]),
  "JPEG of ever more scans": () => jpegGoneWild([0xff, 0xda, 0, 2]),
  "JPEG that ends in fill bytes": () => jpegGoneWild([0xff, 0xff]),
  "JPEG that ends in restarts": () => jpegGoneWild([0xff, 0xd0]),
  "BMP of 8 bits with a colour that its palette lacks, at its end": async () => {
    const file = bmp(2000, 2000, 8, 4_000_008);
    file.writeUInt32LE(2, 46);
    file.writeUInt32LE(62, 10);
    file[62] = 9;
    return file;
  },
  "truncated BMP": async () => bmp(200, 200, 24, 200),
  "truncated palette PNG": () => cut(noise(300, 300).png({ palette: true }).toBuffer(), 0.5),
  "truncated 16-bit PNG": () => cut(noise(300, 300).toColourspace("rgb16").png().toBuffer(), 0.5),
  "truncated CMYK JPEG": () => cut(noise(300, 300).toColourspace("cmyk").jpeg().toBuffer(), 0.5),
  "HEIC's signature alone": text("\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf"),
  "polyglot of BMP and HTML": text("BM<html><script>alert(1)</script></html>"),
});

add("either", {
  "JPEG that ends in escaped bytes": () => jpegGoneWild([0xff, 0]),
  "BMP of 2000 x 1700": async () => bmp(2000, 1700, 24, 3 * 2000 * 1700),
  "BMP of one row of 3 million": async () => bmp(3_000_000, 1, 24, 9_000_000),
  "PNG with a data chunk that does not inflate": async () =>
    Buffer.concat([png().subarray(0, 33), chunk("IDAT", Buffer.from("not deflated")), chunk("IEND", new Uint8Array())]),
  "JPEG with EXIF garbage": () =>
    replaced(picture().withMetadata({ orientation: 6 }).jpeg().toBuffer(), (file) => {
      const exif = file.indexOf("Exif");
      file.fill(0xff, exif + 6, exif + 40);
    }),
  // The library takes such a screen for a mistake and uses the frame's size.
  "GIF of 65535 x 65535": async () => gif(65_535, 65_535, 1),
  "GIF without a trailer": async () => gif(1, 1, 1).subarray(0, -1),
});

/** Images to mutate. */
export const fuzzSeeds: readonly (() => Promise<Buffer>)[] = [
  () => noise(60, 50).jpeg().toBuffer(),
  () => noise(60, 50).jpeg({ progressive: true }).toBuffer(),
  () => noise(60, 50).png().toBuffer(),
  () => noise(60, 50).png({ palette: true }).toBuffer(),
  () => noise(60, 50).webp().toBuffer(),
  () => noise(60, 50).gif().toBuffer(),
  () => noise(60, 50).avif().toBuffer(),
  async () => bmp(16, 16, 24, 16 * 48),
];
