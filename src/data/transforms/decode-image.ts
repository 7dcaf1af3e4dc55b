import sharp, { type Sharp, type SharpOptions } from "sharp";
import { isPipelineError, PipelineError } from "../../base/errors.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { decodeBmp, isBmp, readBmpHeader } from "./decode-bmp.ts";
import type { ImageSize } from "./image-size.ts";
import { harden, loaders } from "./loaders.ts";
import { isJpeg, mendJpeg, withoutStrayBytes } from "./mend-jpeg.ts";
import { type Pixels, resample } from "./resample.ts";

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
 * From this factor on the library's linear kernel is a coarse staircase (it averages whole blocks first): it only makes the
 * image smaller by a part of the factor, in which its kernel is exact, and the rest is done here. A part of an eighth widens
 * the kernel by less than one per cent.
 */
const exactBelow = 4;
const largestPart = 3.5;
const partOfFactor = 1 / 8;
/** What is resampled on a thread that must not be held: a millisecond. */
const maxPixelsHere = 75_000;

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
 * @returns undefined for a BMP, for a JPEG that is not sound, and for a large image that becomes much smaller
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
  const outcome = await decodeOrError(bytes, size, bounds, maxPixelsHere);
  if (isPipelineError(outcome, "IMAGE_CORRUPT") && isJpeg(bytes)) return undefined;
  return outcome === undefined ? undefined : imageOf(outcome);
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

function decodeOrError(
  bytes: Uint8Array,
  size: ImageSize,
  bounds: Required<ImageLimits>,
): Promise<Tensor<"uint8"> | PipelineError>;
/** @returns undefined where more pixels than `most` would have to be resampled here */
function decodeOrError(
  bytes: Uint8Array,
  size: ImageSize,
  bounds: Required<ImageLimits>,
  most: number,
): Promise<Tensor<"uint8"> | PipelineError | undefined>;
async function decodeOrError(
  bytes: Uint8Array,
  size: ImageSize,
  bounds: Required<ImageLimits>,
  most = Number.POSITIVE_INFINITY,
): Promise<Tensor<"uint8"> | PipelineError | undefined> {
  try {
    return await decode(bytes, size, bounds, most);
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
  size: ImageSize,
  { maxPixels, timeoutSeconds }: Required<ImageLimits>,
  most: number,
): Promise<Tensor<"uint8"> | undefined> {
  const options = { failOn: "warning", limitInputPixels: maxPixels, sequentialRead: true, pages: 1 } as const;
  try {
    const { image, upright } = await open(bytes, options, size);
    const between = upright === undefined ? undefined : stopover(upright, size);
    if (between !== undefined && between.width * between.height > most) return undefined;
    const { width, height } = between ?? size;
    const { data, info } = await image
      .timeout({ seconds: timeoutSeconds })
      .autoOrient()
      .resize(width, height, { fit: "fill", kernel: "linear" })
      .flatten({ background: "#ffffff" })
      .toColourspace("srgb")
      .raw({ depth: "uchar" })
      .toBuffer({ resolveWithObject: true });
    const found = { data, width, height, channels: info.channels };
    return planes(between === undefined ? found : resample(found, size));
  } catch (error) {
    if (isPipelineError(error)) throw error;
    const reason = asImageError(error, timeoutSeconds);
    // The header alone, which is cheap, says how large it is.
    if (reason.code === "IMAGE_TOO_LARGE") await requireStatedPixels(bytes, maxPixels);
    throw reason;
  }
}

/** Up to which size the library makes an image smaller; undefined: to the end. It makes none larger: its edges are others. */
function stopover(image: ImageSize, size: ImageSize): ImageSize | undefined {
  const factors = { width: image.width / size.width, height: image.height / size.height };
  if (Math.max(factors.width, factors.height) < exactBelow && Math.min(factors.width, factors.height) >= 1)
    return undefined;
  const part = (factor: number): number => Math.min(Math.max(factor * partOfFactor, 1), largestPart);
  return {
    width: Math.round(image.width / part(factors.width)),
    height: Math.round(image.height / part(factors.height)),
  };
}

interface OpenImage {
  readonly image: Sharp;
  /** After the turn that its orientation asks for; undefined: it is small. */
  readonly upright?: ImageSize;
}

/** @throws IMAGE_TOO_LARGE before any pixel of a BMP is read; the other decoders check it themselves */
async function open(
  bytes: Uint8Array,
  options: SharpOptions & { readonly limitInputPixels: number },
  size: ImageSize,
): Promise<OpenImage> {
  if (isBmp(bytes)) {
    const upright = readBmpHeader(bytes);
    requirePixels(upright.width, upright.height, Math.min(maxBmpPixels, options.limitInputPixels));
    const { data, ...raw } = decodeBmp(bytes);
    return { image: sharp(data, { ...options, raw }), upright };
  }
  const image = sharp(bytes, options);
  if (isSmallPng(bytes, size)) return { image };
  const { width, height, autoOrient: upright } = await image.metadata();
  // Taking the whole area keeps the loaders of JPEG and WebP from shrinking in their own way; the rows still stream. Before
  // autoOrient, since the header knows the size as it is stored.
  return { image: isPng(bytes) ? image : image.extract({ left: 0, top: 0, width, height }), upright };
}

function isPng(bytes: Uint8Array): boolean {
  return bytes[0] === 0x89;
}

/** Whether the library makes it as small as wanted by itself, whichever way it is turned: nothing need be asked of it. */
function isSmallPng(bytes: Uint8Array, { width, height }: ImageSize): boolean {
  if (!isPng(bytes) || bytes.length < 24) return false;
  const header = new DataView(bytes.buffer, bytes.byteOffset);
  const sides = [header.getUint32(16), header.getUint32(20)];
  return Math.max(...sides) < exactBelow * Math.min(width, height) && Math.min(...sides) >= Math.max(width, height);
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
function planes({ data, channels, height, width }: Pixels): Tensor<"uint8"> {
  const plane = height * width;
  const out = new Uint8Array(3 * plane);
  const [green, blue] = channels >= 3 ? [1, 2] : [0, 0];
  for (let i = 0, from = 0; i < plane; i++, from += channels) {
    out[i] = data[from]!;
    out[plane + i] = data[from + green]!;
    out[2 * plane + i] = data[from + blue]!;
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
