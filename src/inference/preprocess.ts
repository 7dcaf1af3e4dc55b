import { PipelineError } from "../base/errors.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import type { BundleMetadata } from "./bundle-metadata.ts";

export type Preprocessing = BundleMetadata["preprocessing"];

/**
 * Uint8 images [N, 3, H, W] to the model's float32 input: (x / 255 - mean) / std per channel, each step rounded to
 * float32 as PyTorch's ToTensor and Normalize do. Evaluation, command line and server all call this one function.
 * @param count images of the result, at least as many: zeros stand for those that are missing
 * @throws SHAPE_MISMATCH unless the images are [N, 3, height, width] as `preprocessing` says.
 */
export function normalise(
  images: Tensor<"uint8">,
  preprocessing: Preprocessing,
  count = images.shape[0]!,
): Tensor<"float32"> {
  requireImages(images, preprocessing);
  const { mean, std, height, width } = preprocessing;
  const plane = height * width;
  const source = images.data;
  const out = new Float32Array(count * 3 * plane);
  // 256 possible bytes per channel: a table makes one look-up per element.
  const tables = mean.map((m, channel) => normalisationTable(m, std[channel]!));
  for (let start = 0, channel = 0; start < source.length; start += plane, channel = (channel + 1) % 3) {
    const table = tables[channel]!;
    for (let i = start; i < start + plane; i++) out[i] = table[source[i]!]!;
  }
  return tensor("float32", [count, 3, height, width], out);
}

/** Images [3, H, W] of one size as one batch [N, 3, H, W]; copies. */
export function stackImages(images: readonly Tensor<"uint8">[]): Tensor<"uint8"> {
  const [first] = images;
  if (first === undefined) throw new PipelineError("INVALID_ARGUMENT", "cannot stack zero images");
  const size = first.data.length;
  const data = new Uint8Array(size * images.length);
  images.forEach((image, i) => {
    if (image.shape.length !== 3 || image.shape.some((dim, axis) => dim !== first.shape[axis])) {
      throw new PipelineError("SHAPE_MISMATCH", `cannot stack images of shapes [${first.shape}] and [${image.shape}]`);
    }
    data.set(image.data, i * size);
  });
  return tensor("uint8", [images.length, ...first.shape], data);
}

/** @throws SHAPE_MISMATCH unless the tensor is uint8 [N >= 1, 3, height, width]. */
export function requireImages(
  images: Tensor<"uint8">,
  { height, width }: Pick<Preprocessing, "height" | "width">,
): void {
  const [count, channels, h, w] = images.shape;
  const fits = images.shape.length === 4 && count! >= 1 && channels === 3 && h === height && w === width;
  if (!fits || images.dtype !== "uint8") {
    throw new PipelineError(
      "SHAPE_MISMATCH",
      `expected uint8 images [N, 3, ${height}, ${width}], got ${images.dtype} [${images.shape}]`,
      { remedy: "decode and resize each image with decodeImage first" },
    );
  }
}

function normalisationTable(mean: number, std: number): Float32Array {
  const { fround } = Math;
  return Float32Array.from({ length: 256 }, (_, x) => fround(fround(fround(x / 255) - fround(mean)) / fround(std)));
}
