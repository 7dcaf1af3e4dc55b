import { PipelineError } from "../base/errors.ts";
import { floats, type Tensor } from "../tensor/tensor.ts";
import { symmetricEigen } from "./symmetric-eigen.ts";

export interface WhiteningOptions {
  /** Height and width of the patches. */
  readonly kernel: number;
  /** Added to the eigenvalues before the inverse square root. */
  readonly eps?: number;
}

/**
 * Filters [2 * C * k * k, C, k, k] that whiten the k x k patches of the images: the eigenvectors of the patches'
 * second-moment matrix over sqrt(eigenvalue + eps), by falling eigenvalue, then the same negated (Page 2018; Jordan
 * 2024, airbench).
 * @param images float32 [N, C, H, W], normalised
 */
export function whiteningFilters(
  images: Tensor<"float32">,
  { kernel, eps = 5e-4 }: WhiteningOptions,
): Tensor<"float32"> {
  const { values, vectors } = symmetricEigen(patchMoments(images, kernel));
  const channels = images.shape[1]!;
  const filters = vectors.map((vector, i) => vector.map((x) => x / Math.sqrt(Math.max(values[i]!, 0) + eps)));
  return floats(
    [2 * filters.length, channels, kernel, kernel],
    [...filters.flat(), ...filters.flat().map((value) => -value)],
  );
}

/** Mean of p p^T over all k x k patches p (flattened C, k, k), not centred. */
function patchMoments({ shape, data }: Tensor<"float32">, kernel: number): number[][] {
  const [count = 0, channels = 0, height = 0, width = 0] = shape;
  const patches = count * (height - kernel + 1) * (width - kernel + 1);
  if (shape.length !== 4 || height < kernel || width < kernel || count === 0) {
    throw new PipelineError("INVALID_ARGUMENT", `whitening: images [${shape}] hold no ${kernel}x${kernel} patch`);
  }
  const size = channels * kernel * kernel;
  const offsets = Array.from({ length: size }, (_, i) => {
    const dx = i % kernel;
    const dy = Math.floor(i / kernel) % kernel;
    return (Math.floor(i / (kernel * kernel)) * height + dy) * width + dx;
  });
  const sums = new Float64Array(size * size);
  const patch = new Float64Array(size);
  for (let image = 0; image < count; image++) {
    for (let y = 0; y + kernel <= height; y++) {
      for (let x = 0; x + kernel <= width; x++) {
        const start = (image * channels * height + y) * width + x;
        for (let i = 0; i < size; i++) patch[i] = data[start + offsets[i]!]!;
        for (let i = 0; i < size; i++) {
          const value = patch[i]!;
          for (let j = i; j < size; j++) sums[i * size + j]! += value * patch[j]!;
        }
      }
    }
  }
  return Array.from({ length: size }, (_, i) =>
    Array.from({ length: size }, (_, j) => sums[Math.min(i, j) * size + Math.max(i, j)]! / patches),
  );
}
