import type { Config } from "../config/schema.ts";
import { affine, rotation, squareSymmetry } from "../data/transforms/affine.ts";
import type { Augmentation, ImageAugmentation } from "../data/transforms/augmentation.ts";
import { batchAugmentation } from "../data/transforms/batch-augmentation.ts";
import { channelDropout, colorJitter } from "../data/transforms/color.ts";
import { mirror, padCrop, resizedCrop, upsideDown } from "../data/transforms/crop-flip.ts";
import { randomGamma } from "../data/transforms/curves.ts";
import { elastic, gridDistortion } from "../data/transforms/distortion.ts";
import { coarseDropout, cutout, gridMask, randomErasing } from "../data/transforms/holes.ts";
import type { ImageSize } from "../data/transforms/image-size.ts";
import { blur } from "../data/transforms/kernels.ts";
import { noise } from "../data/transforms/noise.ts";
import { randAugment, trivialAugment } from "../data/transforms/policies.ts";

/** The random changes that a configuration asks for; undefined for none. */
export function configuredAugmentation(config: Config, source: ImageSize): Augmentation | undefined {
  const { augmentation: a, training, dataset } = config;
  if (!a.use_augmentation || training.overfit_one_batch) return undefined;
  const augmentations = imageAugmentations(config, source);
  const mix =
    a.mixup || a.cutmix
      ? {
          mixupAlpha: a.mixup ? a.mixup_alpha : undefined,
          cutmixAlpha: a.cutmix ? a.cutmix_alpha : undefined,
          probability: a.mix_probability,
        }
      : undefined;
  if (augmentations.length === 0 && mix === undefined) return undefined;
  return batchAugmentation({
    augmentations,
    source: { height: source.height, width: source.width },
    target: { height: dataset.img_size, width: dataset.img_size },
    border: a.crop_border,
    fill: a.hole_fill,
    mix,
  });
}

/** In the order in which they happen to what they share: places, curves, colours. */
function imageAugmentations({ augmentation: a, training }: Config, size: ImageSize): ImageAugmentation[] {
  const when = (on: boolean, make: () => ImageAugmentation): ImageAugmentation[] => (on ? [make()] : []);
  return [
    ...when(a.random_crop && a.crop_padding > 0, () => padCrop(a.crop_padding, size)),
    ...when(a.random_resized_crop, () =>
      resizedCrop({ scale: a.random_resized_crop_scale, ratio: a.random_resized_crop_ratio, size }),
    ),
    ...when(a.horizontal_flip !== false, () =>
      mirror(a.horizontal_flip === "alternating" ? "alternating" : "random", training.seed),
    ),
    ...when(a.vertical_flip, () => upsideDown),
    ...when(a.square_symmetry_rotations, () => squareSymmetry),
    ...when(a.rotation_degrees > 0, () => rotation(a.rotation_degrees, size)),
    ...when(a.affine, () =>
      affine({
        scale: a.affine_scale,
        rotate: a.affine_rotate,
        shear: a.affine_shear,
        translate: a.affine_translate,
        probability: a.affine_probability,
        size,
      }),
    ),
    ...when(a.grid_distortion, () =>
      gridDistortion({
        steps: a.grid_distortion_steps,
        limit: a.grid_distortion_limit,
        probability: a.grid_distortion_probability,
      }),
    ),
    ...when(a.elastic_transform, () =>
      elastic({
        cells: a.elastic_transform_cells,
        strength: a.elastic_transform_strength,
        probability: a.elastic_transform_probability,
      }),
    ),
    ...when(a.gamma, () => randomGamma(a.gamma_range, a.gamma_probability)),
    ...when(a.rand_augment, () =>
      randAugment({ count: a.rand_augment_operations, magnitude: a.rand_augment_magnitude, size }),
    ),
    ...when(a.trivial_augment, () => trivialAugment(size)),
    ...when(a.blur, () =>
      blur({ kinds: a.blur_kinds, sigma: a.blur_sigma, length: a.blur_length, probability: a.blur_probability }),
    ),
    ...when(a.noise, () =>
      noise({ kinds: a.noise_kinds, strength: a.noise_strength, probability: a.noise_probability }),
    ),
    ...when(a.color_jitter, () =>
      colorJitter({
        brightness: a.brightness,
        contrast: a.contrast,
        saturation: a.saturation,
        hue: a.hue,
        probability: a.color_jitter_probability,
      }),
    ),
    ...when(a.channel_dropout, () => channelDropout(a.channel_dropout_probability)),
    ...when(a.coarse_dropout, () =>
      coarseDropout({
        minHoles: a.coarse_dropout_min_holes,
        maxHoles: a.coarse_dropout_max_holes,
        maxHeight: a.coarse_dropout_max_height,
        maxWidth: a.coarse_dropout_max_width,
        probability: a.coarse_dropout_probability,
        size,
      }),
    ),
    ...when(a.cutout, () => cutout({ length: a.cutout_size, probability: a.cutout_probability, size })),
    ...when(a.random_erasing, () =>
      randomErasing({
        scale: a.random_erasing_scale,
        ratio: a.random_erasing_ratio,
        probability: a.random_erasing_probability,
        size,
      }),
    ),
    ...when(a.grid_mask, () =>
      gridMask({ period: a.grid_mask_period, ratio: a.grid_mask_ratio, probability: a.grid_mask_probability, size }),
    ),
  ];
}
