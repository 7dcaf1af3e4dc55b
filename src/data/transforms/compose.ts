import { type GeometricAugmentation, identityThetas } from "./augmentation.ts";

/**
 * One augmentation that does the same as all of them in the given order, with a single resampling. Each one draws
 * from a stream of its own, so adding one leaves the others' draws as they are only if it is added at the end.
 */
export function composeGeometric(augmentations: readonly GeometricAugmentation[]): GeometricAugmentation {
  return {
    theta(context) {
      const result = identityThetas(context.indices.length);
      augmentations.forEach((augmentation, position) => {
        // The last step is nearest to the output: input = first(second(output)).
        multiplyRight(result, augmentation.theta({ ...context, rng: context.rng.split(position) }));
      });
      return result;
    },
  };
}

/** left = left * right for each pair of 2x3 matrices with the implied last row [0, 0, 1]. */
function multiplyRight(left: Float32Array, right: Float32Array): void {
  for (let i = 0; i < left.length; i += 6) {
    for (let row = i; row < i + 6; row += 3) {
      const a = left[row]!;
      const b = left[row + 1]!;
      left[row] = a * right[i]! + b * right[i + 3]!;
      left[row + 1] = a * right[i + 1]! + b * right[i + 4]!;
      left[row + 2] = a * right[i + 2]! + b * right[i + 5]! + left[row + 2]!;
    }
  }
}
