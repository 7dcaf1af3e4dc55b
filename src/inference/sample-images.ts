import { stat } from "node:fs/promises";
import { join } from "node:path";
import { ignoreMissing } from "../base/durable.ts";
import { isPipelineError, PipelineError } from "../base/errors.ts";
import { readSafetensors } from "../tensor/safetensors.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { type Bundle, sampleFile } from "./bundle.ts";

/** Validation images that a bundle keeps, at most. */
const mostSampleImages = 64;
/** More than the header of one tensor. */
const headerBytes = 65_536;

export interface SampleImages {
  /** uint8 [N, 3, height, width], whole images one after the other. */
  readonly images: Uint8Array<ArrayBuffer>;
  /** Whether they are validation images of the training; noise otherwise. */
  readonly isReal: boolean;
}

/**
 * The images on which a bundle's network is tried before it serves. @throws BUNDLE_DAMAGED
 */
export async function sampleImages({ directory, metadata }: Bundle): Promise<SampleImages> {
  const { height, width } = metadata.preprocessing;
  const path = join(directory, sampleFile);
  const size = (await stat(path).catch(ignoreMissing))?.size;
  // Of a bundle without validation images, or from before they were kept.
  if (size === undefined) return { images: noise(8, { height, width }), isReal: false };
  const refuse = (why: string, cause?: unknown) =>
    new PipelineError("BUNDLE_DAMAGED", `model bundle file ${path} is damaged: ${why}`, {
      remedy: "restore the bundle from a backup, or delete this file",
      details: { path },
      cause,
    });
  if (size > mostSampleImages * 3 * height * width + headerBytes) throw refuse(`it has ${size} bytes`);
  const file = await readSafetensors(path).catch((cause: unknown) => {
    if (!isPipelineError(cause)) throw cause;
    throw refuse(cause.message, cause);
  });
  const images = file.tensors.images;
  if (images?.dtype !== "uint8" || images.shape.slice(1).join() !== `3,${height},${width}`) {
    throw refuse(`it holds no images of 3 x ${height} x ${width}`);
  }
  return { images: Uint8Array.from(images.data), isReal: true };
}

export interface SampleSource {
  readonly images: Uint8Array;
  readonly count: number;
  readonly height: number;
  readonly width: number;
}

/** The first of the validation images, as a bundle keeps them. */
export function sampleOf({ images, height, width, count }: SampleSource): Tensor<"uint8"> {
  const kept = Math.min(mostSampleImages, count);
  return tensor("uint8", [kept, 3, height, width], images.slice(0, kept * 3 * height * width));
}

/** Images that are always the same, with a brightness of their own each; xorshift32, so that they are so everywhere. */
export function noise(
  count: number,
  { height, width }: { readonly height: number; readonly width: number },
): Uint8Array<ArrayBuffer> {
  const length = count * 3 * height * width;
  const bytes = new Uint8Array(length);
  let state = 0x9e3779b9;
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const brightness = 1 + Math.floor((count * i) / length);
    bytes[i] = Math.floor(((state >>> 24) * brightness) / count);
  }
  return bytes;
}
