import type { Config } from "../config/schema.ts";
import type { Augmentation } from "../data/transforms/augmentation.ts";
import { cropFlip } from "../data/transforms/crop-flip.ts";
import type { StepOptions } from "../training/compile-step.ts";

export interface ConfiguredAugmentation {
  /** Draws the parameters of each batch. */
  readonly augmentation: Augmentation;
  /** How the training step samples the images with them. */
  readonly sampling: NonNullable<StepOptions["augmentation"]>;
}

/** The random changes that a configuration asks for; undefined for none. */
export function configuredAugmentation(
  { augmentation, training }: Config,
  { height, width }: { readonly height: number; readonly width: number },
): ConfiguredAugmentation | undefined {
  const pad = augmentation.random_crop ? augmentation.crop_padding : 0;
  const mirror = augmentation.horizontal_flip;
  const flip = mirror === "alternating" ? "alternating" : mirror ? "random" : "none";
  if (!augmentation.use_augmentation || training.overfit_one_batch || (pad === 0 && flip === "none")) return undefined;
  return {
    augmentation: { geometric: cropFlip({ height, width, pad, flip, seed: training.seed }) },
    // Shifts by whole pixels and mirrors: the nearest pixel is the exact one.
    sampling: { mode: "nearest", border: augmentation.crop_border },
  };
}
