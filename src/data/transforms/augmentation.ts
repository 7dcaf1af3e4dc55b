import type { Rng } from "../../base/rng.ts";

/** What an augmentation may depend on: the same context always gives the same parameters. */
export interface AugmentationContext {
  readonly epoch: number;
  /** Indices of the batch's images in the data set: an image keeps its index in every epoch. */
  readonly indices: Int32Array;
  /** A stream of this batch alone. */
  readonly rng: Rng;
}

/**
 * Moves pixels. An augmentation gives for each image a 2x3 matrix theta that maps normalised OUTPUT coordinates to
 * normalised INPUT coordinates: [x_in, y_in] = theta [x_out, y_out, 1], x to the right and y down, -1 and 1 at the
 * centres of the outermost pixels (torch.nn.functional.affine_grid and grid_sample with align_corners=True).
 * The training graph samples the images there; what lies outside the image is its choice (reflected or zero).
 */
export interface GeometricAugmentation {
  /** Row-major [indices.length, 2, 3]. */
  theta(context: AugmentationContext): Float32Array;
}

/** All that happens to a batch, by kind; kinds that change colours or erase parts take their place here. */
export interface Augmentation {
  readonly geometric: GeometricAugmentation;
}

/** Leaves every image as it is. */
export const identityAugmentation: GeometricAugmentation = {
  theta: ({ indices }) => identityThetas(indices.length),
};

export function identityThetas(count: number): Float32Array {
  const theta = new Float32Array(6 * count);
  for (let i = 0; i < theta.length; i += 6) {
    theta[i] = 1;
    theta[i + 4] = 1;
  }
  return theta;
}
