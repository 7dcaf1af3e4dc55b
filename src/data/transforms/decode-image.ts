import sharp, { type Sharp, type SharpOptions } from "sharp";
import { isPipelineError, PipelineError } from "../../base/errors.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { decodeBmp, isBmp, readBmpHeader } from "./decode-bmp.ts";
import type { ImageSize } from "./image-size.ts";
import { harden, loaders } from "./loaders.ts";
import { isJpeg, mendJpeg, withoutStrayBytes } from "./mend-jpeg.ts";

export interface ImageLimits {
  /** Bytes of the encoded file; default 10 MiB. */
  readonly maxBytes?: number;
  /** Width times height, as the file's header states them; default 40 million. */
  readonly maxPixels?: number;
  /** Seconds that the decoder may work on one file; default 10. */
  readonly timeoutSeconds?: number;
}

export const imageFormats = [...Object.keys(loaders), "bmp"] as readonly (keyof typeof loaders | "bmp")[];

export const defaultImageLimits = {
  maxBytes: 10 * 1024 * 1024,
  maxPixels: 40_000_000,
  timeoutSeconds: 10,
} as const satisfies Required<ImageLimits>;

/** BMP is decoded on the calling thread, so that its images must not be large. */
const maxBmpPixels = 4_000_000;

/**
 * Decodes an encoded image (JPEG, PNG, WebP, AVIF, BMP, first frame of a GIF) to uint8 [3, height, width], R G B planes in sRGB.
 * EXIF orientation is applied; gray, palette, CMYK, 16-bit and colour-managed files are converted; transparent parts
 * become white. The whole image is decoded, whatever its format, then resized to the wanted size (stretched when the
 * aspect ratio differs) with an antialiased bilinear kernel: equal pixels give equal tensors. Pixels of an image that
 * has that size already stay untouched bit for bit.
 * @throws IMAGE_EMPTY, IMAGE_TOO_LARGE, IMAGE_UNSUPPORTED or IMAGE_CORRUPT (also for truncated files).
 */
export async function decodeImage(
  bytes: Uint8Array,
  size: ImageSize,
  limits: ImageLimits = {},
): Promise<Tensor<"uint8">> {
  const image = await decodeByLibrary(bytes, size, limits);
  return image ?? decodeHere(bytes, size, { ...defaultImageLimits, ...limits });
}

/**
 * What decodeImage does, unless it would keep the calling thread busy for long: the library has threads of its own.
 * @returns undefined for a BMP and for a JPEG that is not sound
 * @throws what decodeImage throws
 */
export async function decodeByLibrary(
  bytes: Uint8Array,
  size: ImageSize,
  limits: ImageLimits = {},
): Promise<Tensor<"uint8"> | undefined> {
  const bounds = { ...defaultImageLimits, ...limits };
  if (bytes.length === 0) {
    throw new PipelineError("IMAGE_EMPTY", "the image file is empty", { remedy: "send the bytes of an image" });
  }
  if (bytes.length > bounds.maxBytes) {
    throw new PipelineError(
      "IMAGE_TOO_LARGE",
      `the image file has ${bytes.length} bytes, the limit is ${bounds.maxBytes}`,
      { remedy: "send a smaller or more compressed image" },
    );
  }
  harden();
  if (isBmp(bytes)) return undefined;
  const outcome = await decodeOrError(bytes, size, bounds);
  if (isPipelineError(outcome, "IMAGE_CORRUPT") && isJpeg(bytes)) return undefined;
  return imageOf(outcome);
}

async function decodeHere(bytes: Uint8Array, size: ImageSize, bounds: Required<ImageLimits>): Promise<Tensor<"uint8">> {
  const outcome = await decodeOrError(bytes, size, bounds);
  return imageOf(
    isPipelineError(outcome, "IMAGE_CORRUPT") && isJpeg(bytes)
      ? await decodeMended(bytes, size, { bounds, error: outcome })
      : outcome,
  );
}

function imageOf(outcome: Tensor<"uint8"> | PipelineError): Tensor<"uint8"> {
  if (isPipelineError(outcome)) throw outcome;
  return outcome;
}

/** Decodes a JPEG with slips that leave every pixel whole; what is truncated or damaged as well fails again. */
async function decodeMended(
  bytes: Uint8Array,
  size: ImageSize,
  { bounds, error: first }: { readonly bounds: Required<ImageLimits>; readonly error: PipelineError },
): Promise<Tensor<"uint8"> | PipelineError> {
  const deadline = performance.now() + bounds.timeoutSeconds * 1000;
  const mended = mendJpeg(bytes);
  let jpeg = mended ?? bytes;
  let outcome = mended === undefined ? first : await decodeOrError(jpeg, size, bounds);
  let from = 0;
  for (let stray = strayBytes(outcome); stray !== undefined; stray = strayBytes(outcome)) {
    let next: { readonly jpeg: Uint8Array; readonly at: number } | undefined;
    for (const candidate of withoutStrayBytes(jpeg, { ...stray, from })) {
      if (performance.now() > deadline) break;
      const result = await decodeOrError(candidate.jpeg, size, bounds);
      // Bytes of the wrong scan are missed before the stray ones of a later scan are met.
      if (isPipelineError(result) && strayBytes(result) === undefined) continue;
      next = candidate;
      outcome = result;
      break;
    }
    if (next === undefined) break;
    jpeg = next.jpeg;
    from = next.at;
  }
  return outcome;
}

async function decodeOrError(
  bytes: Uint8Array,
  size: ImageSize,
  bounds: Required<ImageLimits>,
): Promise<Tensor<"uint8"> | PipelineError> {
  try {
    return await decode(bytes, size, bounds);
  } catch (error) {
    if (isPipelineError(error)) return error;
    throw error;
  }
}

/** What the decoder says of stray bytes between the scans of a progressive JPEG. */
function strayBytes(
  outcome: Tensor<"uint8"> | PipelineError,
): { readonly count: number; readonly marker: number } | undefined {
  if (!isPipelineError(outcome, "IMAGE_CORRUPT")) return undefined;
  const found = /(\d+) extraneous bytes before marker 0x([0-9a-f]{2})/.exec(outcome.message);
  return found === null ? undefined : { count: Number(found[1]), marker: Number.parseInt(found[2]!, 16) };
}

async function decode(
  bytes: Uint8Array,
  { height, width }: ImageSize,
  { maxPixels, timeoutSeconds }: Required<ImageLimits>,
): Promise<Tensor<"uint8">> {
  const options = { failOn: "warning", limitInputPixels: maxPixels, sequentialRead: true, pages: 1 } as const;
  try {
    const image = await open(bytes, options);
    const { data, info } = await image
      .timeout({ seconds: timeoutSeconds })
      .autoOrient()
      .resize(width, height, { fit: "fill", kernel: "linear" })
      .flatten({ background: "#ffffff" })
      .toColourspace("srgb")
      .raw({ depth: "uchar" })
      .toBuffer({ resolveWithObject: true });
    return planes(data, info.channels, height, width);
  } catch (error) {
    if (isPipelineError(error)) throw error;
    const reason = asImageError(error, timeoutSeconds);
    // The header alone, which is cheap, says how large it is.
    if (reason.code === "IMAGE_TOO_LARGE") await requireStatedPixels(bytes, maxPixels);
    throw reason;
  }
}

/** @throws IMAGE_TOO_LARGE before any pixel of a BMP is read; the other decoders check it themselves */
async function open(bytes: Uint8Array, options: SharpOptions & { readonly limitInputPixels: number }): Promise<Sharp> {
  if (!isBmp(bytes)) {
    const image = sharp(bytes, options);
    if (!shrinksWhileLoading(bytes)) return image;
    const { width, height } = await image.metadata();
    // Taking the whole area keeps the decoder from shrinking in its own way; the rows still stream. Before autoOrient,
    // since the header knows the size as it is stored.
    return image.extract({ left: 0, top: 0, width, height });
  }
  const header = readBmpHeader(bytes);
  requirePixels(header.width, header.height, Math.min(maxBmpPixels, options.limitInputPixels));
  const { data, ...raw } = decodeBmp(bytes);
  return sharp(data, { ...options, raw });
}

/** The loaders of JPEG and WebP can; the header is looked at in vain for a PNG, which is the other usual format. */
function shrinksWhileLoading(bytes: Uint8Array): boolean {
  return bytes[0] !== 0x89;
}

async function requireStatedPixels(bytes: Uint8Array, maxPixels: number): Promise<void> {
  const header = await sharp(bytes, { limitInputPixels: false, pages: 1 })
    .metadata()
    .catch(() => undefined);
  if (header !== undefined) requirePixels(header.width, header.height, maxPixels);
}

function requirePixels(width: number, height: number, maxPixels: number): void {
  if (width * height <= maxPixels) return;
  throw new PipelineError(
    "IMAGE_TOO_LARGE",
    `the image has ${width} x ${height} = ${width * height} pixels, the limit is ${maxPixels}`,
    { remedy: "send a smaller image" },
  );
}

/** Interleaved pixels to planes; one channel (gray) is repeated. */
function planes(data: Uint8Array, channels: number, height: number, width: number): Tensor<"uint8"> {
  const plane = height * width;
  const out = new Uint8Array(3 * plane);
  for (let channel = 0; channel < 3; channel++) {
    const first = channels >= 3 ? channel : 0;
    for (let i = 0, from = first; i < plane; i++, from += channels) out[channel * plane + i] = data[from]!;
  }
  return tensor("uint8", [3, height, width], out);
}

function asImageError(cause: unknown, timeoutSeconds: number): PipelineError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  if (/unsupported image format/i.test(reason)) {
    return new PipelineError("IMAGE_UNSUPPORTED", "the file is no image of a supported format", {
      remedy: `send one of ${imageFormats.join(", ")}`,
      cause,
    });
  }
  if (/timeout/i.test(reason)) {
    return new PipelineError("IMAGE_TOO_LARGE", `decoding the image took longer than ${timeoutSeconds} s`, {
      remedy: "send a smaller image",
      cause,
    });
  }
  if (/pixel limit|dimensions? .*(limit|exceed)/i.test(reason)) {
    return new PipelineError("IMAGE_TOO_LARGE", `the image is too large: ${firstLine(reason)}`, {
      remedy: "send a smaller image",
      cause,
    });
  }
  return new PipelineError("IMAGE_CORRUPT", `the image is truncated or damaged: ${firstLine(reason)}`, {
    remedy: "save the image again and retry",
    cause,
  });
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0]!.slice(0, 200);
}
