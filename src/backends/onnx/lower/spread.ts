import type { Lowering } from "../lowering.ts";
import { affine, type ImageShape } from "./blocked-affine.ts";

/** Rows (of one block of channels) of a blocked image picked per image and block: the same places everywhere. */
export function gatherPositions(
  lowering: Lowering,
  image: string,
  [n, c, h, w]: ImageShape,
  places: Int32Array,
  [outHeight, outWidth]: readonly [number, number],
): string {
  const { writer, block } = lowering;
  const rows = writer.reshape(image, [(n * c) / block, h * w, block]);
  const picked = writer.op("Gather", [rows, writer.indices(places)], { axis: 1 });
  return writer.reshape(picked, [n, c, outHeight, outWidth]);
}

/** Zeros between the positions of an image, as the gradient of a strided window needs. */
export function zeroInsert(
  lowering: Lowering,
  image: string,
  shape: ImageShape,
  stride: number,
  [outHeight, outWidth]: readonly [number, number],
): string {
  const [n, c, h, w] = shape;
  const padded = affine(lowering, image, shape, { pads: [0, 0, 0, 1] });
  const places = new Int32Array(outHeight * outWidth).fill(w);
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      if (y * stride < outHeight && x * stride < outWidth) places[y * stride * outWidth + x * stride] = y * (w + 1) + x;
    }
  }
  return gatherPositions(lowering, padded, [n, c, h, w + 1], places, [outHeight, outWidth]);
}
