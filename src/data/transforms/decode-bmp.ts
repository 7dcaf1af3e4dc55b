import { PipelineError } from "../../base/errors.ts";

/** Pixels as sharp takes them: rows from the top, channels interleaved. */
export interface RawImage {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly channels: 3 | 4;
}

export interface BmpHeader {
  readonly width: number;
  readonly height: number;
}

interface Layout extends BmpHeader {
  readonly topDown: boolean;
  readonly bits: 1 | 4 | 8 | 24 | 32;
  /** Where the pixels begin. */
  readonly offset: number;
  readonly paletteOffset: number;
  readonly paletteSize: number;
  readonly hasAlpha: boolean;
}

const fileHeader = 14;

export function isBmp(bytes: Uint8Array): boolean {
  return bytes.length >= 2 && bytes[0] === 0x42 && bytes[1] === 0x4d;
}

/** @throws IMAGE_CORRUPT, or IMAGE_UNSUPPORTED for compressed and 16-bit files and headers before Windows 3 */
export function readBmpHeader(bytes: Uint8Array): BmpHeader {
  return layoutOf(bytes);
}

/**
 * Decodes an uncompressed Windows bitmap (1, 4 or 8 bits with a palette, 24 or 32 bits) on the calling thread. The caller has
 * checked that width times height is within its limit.
 */
export function decodeBmp(bytes: Uint8Array): RawImage {
  const layout = layoutOf(bytes);
  const { width, height, bits, offset, hasAlpha } = layout;
  const stride = 4 * Math.ceil((width * bits) / 32);
  if (offset + stride * height > bytes.length) throw corrupt("the pixels end before the last row");
  const channels = hasAlpha ? 4 : 3;
  const data = new Uint8Array(width * height * channels);
  for (let y = 0; y < height; y++) {
    const row = offset + stride * (layout.topDown ? y : height - 1 - y);
    copyRow(bytes, layout, row, data.subarray(y * width * channels));
  }
  return { data, width, height, channels };
}

/** @param row where it begins in the file */
function copyRow(
  bytes: Uint8Array,
  { width, bits, paletteOffset, paletteSize, hasAlpha }: Layout,
  row: number,
  data: Uint8Array,
): void {
  let out = 0;
  for (let x = 0; x < width; x++) {
    let at: number;
    if (bits >= 24) {
      at = row + x * (bits / 8);
    } else {
      const bit = x * bits;
      const index = (bytes[row + (bit >> 3)]! >> (8 - bits - (bit & 7))) & ((1 << bits) - 1);
      if (index >= paletteSize) throw corrupt(`colour ${index} is not in the palette of ${paletteSize}`);
      at = paletteOffset + 4 * index;
    }
    data[out++] = bytes[at + 2]!;
    data[out++] = bytes[at + 1]!;
    data[out++] = bytes[at]!;
    if (hasAlpha) data[out++] = bytes[at + 3]!;
  }
}

function layoutOf(bytes: Uint8Array): Layout {
  if (bytes.length < fileHeader + 40) throw corrupt("the header is incomplete");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerSize = view.getUint32(14, true);
  if (![40, 52, 56, 108, 124].includes(headerSize)) throw unsupported(`header of ${headerSize} bytes`);
  if (bytes.length < fileHeader + headerSize) throw corrupt("the header is incomplete");
  const width = view.getInt32(18, true);
  const signedHeight = view.getInt32(22, true);
  const bits = view.getUint16(28, true);
  const compression = view.getUint32(30, true);
  const colours = view.getUint32(46, true);
  const offset = view.getUint32(10, true);
  const height = Math.abs(signedHeight);
  if (width < 1 || height < 1) throw corrupt(`the size is ${width} x ${signedHeight}`);
  if (bits !== 1 && bits !== 4 && bits !== 8 && bits !== 24 && bits !== 32) throw unsupported(`${bits} bits a pixel`);
  const usualMasks = compression === 3 && bits === 32 && hasUsualMasks(view, headerSize);
  if (compression !== 0 && !usualMasks) throw unsupported(`compression ${compression}`);
  const paletteOffset = fileHeader + headerSize;
  const paletteSize = bits > 8 ? 0 : colours === 0 ? 1 << bits : colours;
  if (paletteSize > 256 || paletteOffset + 4 * paletteSize > bytes.length) throw corrupt("the palette is incomplete");
  if (offset < paletteOffset + 4 * paletteSize || offset >= bytes.length) throw corrupt("the pixels are nowhere");
  // The fourth byte is alpha only where a mask says so.
  const hasAlpha = usualMasks && headerSize >= 56 && view.getUint32(66, true) === 0xff000000;
  return { width, height, topDown: signedHeight < 0, bits, offset, paletteOffset, paletteSize, hasAlpha };
}

/** Blue, green, red in the order of uncompressed files; behind the header of 40 bytes or within a longer one. */
function hasUsualMasks(view: DataView, headerSize: number): boolean {
  const at = fileHeader + 40;
  if (headerSize === 40 && view.byteLength < at + 12) return false;
  const masks = [0, 4, 8].map((step) => view.getUint32(at + step, true));
  return masks[0] === 0x00ff0000 && masks[1] === 0x0000ff00 && masks[2] === 0x000000ff;
}

function corrupt(reason: string): PipelineError {
  return new PipelineError("IMAGE_CORRUPT", `the BMP image is damaged: ${reason}`, {
    remedy: "save the image again and retry",
  });
}

function unsupported(what: string): PipelineError {
  return new PipelineError("IMAGE_UNSUPPORTED", `BMP images with ${what} are not supported`, {
    remedy: "save it as PNG or JPEG",
  });
}
