import type { ModelOptions } from "./model.ts";

/** Options of networks whose first layers shrink large images. */
export interface StemOptions extends ModelOptions {
  /**
   * 2 as published, where an image shrinks by 32; 1 for small images, which shrink by 8: each architecture says which
   * other strides go. No parameter changes. Default: 1 for images below 64 pixels, otherwise 2.
   */
  readonly stemStride?: 1 | 2;
}

/** The size of the published weights' training images. */
export const PUBLISHED_SIZE = 224;

/** `options` with the size and the stride of the stem that they stand for. */
export function resolveStem(options: StemOptions): { height: number; width: number; stemStride: 1 | 2 } {
  const { height = PUBLISHED_SIZE, width = PUBLISHED_SIZE } = options;
  const { stemStride = Math.min(height, width) < 64 ? 1 : 2 } = options;
  return { height, width, stemStride };
}
