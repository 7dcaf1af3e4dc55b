import type { Augmentation, AugmentationContext } from "../data/transforms/augmentation.ts";
import type { Executor } from "../graph/executor.ts";
import { defineGraph } from "../graph/graph.ts";
import { floatData, tensor } from "../tensor/tensor.ts";
import { type ImagePreparation, prepareImages } from "./prepare-images.ts";

export interface AugmentedImagesOptions {
  readonly executor: Executor;
  readonly augmentation: Augmentation;
  readonly preparation: ImagePreparation & { readonly height: number; readonly width: number };
  /** What the network takes. */
  readonly target: { readonly height: number; readonly width: number };
}

/**
 * A batch as a training step sees it, with normalisation undone: [N, 3, height, width] of the target on the scale
 * 0..255, not rounded.
 */
export async function augmentedImages(
  context: AugmentationContext,
  { executor, augmentation, preparation, target }: AugmentedImagesOptions,
): Promise<Float32Array> {
  const { height, width, mean, std } = preparation;
  const batchSize = context.indices.length;
  const { inputs, x } = prepareImages({ ...preparation, augmentation: augmentation.stages, batchSize, target });
  await using run = await executor.compile(defineGraph({ name: "augmentation", inputs, outputs: { x } }));
  const drawn = Object.entries(augmentation.draw(context)).map(([name, value]) => [`augment/${name}`, value] as const);
  const images = tensor("uint8", [batchSize, 3, height, width], context.images);
  const result = floatData((await run.run({ images, ...Object.fromEntries(drawn) })).x!);
  const plane = target.height * target.width;
  return result.map((value, i) => {
    const channel = Math.floor(i / plane) % 3;
    return 255 * (value * std[channel]! + mean[channel]!);
  });
}
