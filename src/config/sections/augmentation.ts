import { z } from "zod";

const off = (description: string) => z.boolean().default(false).describe(description);
const amount = (description: string) => z.number().min(0).max(1).default(0.2).describe(description);
const holes = (value: number, description: string) => z.int().min(1).max(1024).default(value).describe(description);
const probability = (name: string, value: number) =>
  z.number().min(0).max(1).default(value).describe(`Probability of ${name} for each image.`);
const range = (low: number, high: number, description: string, { min, max }: { min: number; max: number }) =>
  z
    .tuple([z.number().min(min).max(max), z.number().min(min).max(max)])
    .default([low, high])
    .describe(description);

export const augmentationSection = z
  .strictObject({
    use_augmentation: z.boolean().default(true).describe("false: training images are used as they are."),
    random_resized_crop: off("Cut out a random part of the image and resize it to img_size."),
    random_resized_crop_scale: range(0.08, 1, "Share of the area that random_resized_crop keeps.", {
      min: 0.01,
      max: 1,
    }),
    random_resized_crop_ratio: range(3 / 4, 4 / 3, "Width by height of the part that random_resized_crop keeps.", {
      min: 0.1,
      max: 10,
    }),
    random_crop: z.boolean().default(true).describe("Pad by crop_padding and cut out a random window."),
    crop_padding: z.int().min(0).max(64).default(4).describe("Pixels of padding on each side for random_crop."),
    crop_border: z
      .enum(["reflect", "zeros"])
      .default("reflect")
      .describe("What lies beyond the image where it is moved, turned or made smaller: the mirrored image or black."),
    horizontal_flip: z
      .union([z.boolean(), z.literal("alternating")])
      .default(true)
      .describe(
        "Mirror half of the images. alternating: each image is mirrored in every second epoch (airbench), " +
          "which half starts being drawn once.",
      ),
    vertical_flip: off("Turn half of the images upside down."),
    rotation_degrees: z
      .number()
      .min(0)
      .max(180)
      .default(0)
      .describe("Rotate by a random angle of at most this many degrees to either side."),
    square_symmetry_rotations: off("Rotate by a random multiple of 90 degrees."),
    coarse_dropout: off("Black out random rectangles."),
    coarse_dropout_max_holes: holes(8, "Most rectangles of coarse_dropout."),
    coarse_dropout_max_height: holes(8, "Largest height of a rectangle of coarse_dropout, in pixels."),
    coarse_dropout_max_width: holes(8, "Largest width of a rectangle of coarse_dropout, in pixels."),
    coarse_dropout_min_holes: holes(1, "Fewest rectangles of coarse_dropout."),
    coarse_dropout_probability: probability("coarse_dropout", 0.5),
    channel_dropout: off("Black out one random colour channel."),
    channel_dropout_probability: probability("channel_dropout", 0.5),
    color_jitter: off("Change brightness, contrast, saturation and hue at random, by the next four amounts."),
    brightness: amount("Largest relative change of brightness by color_jitter."),
    contrast: amount("Largest relative change of contrast by color_jitter."),
    saturation: amount("Largest relative change of saturation by color_jitter."),
    hue: z.number().min(0).max(0.5).default(0.1).describe("Largest shift of hue by color_jitter, in turns."),
    color_jitter_probability: probability("color_jitter", 1),
    gamma: off("Raise brightness to a random power within gamma_range: above 1 darker, below 1 brighter."),
    gamma_range: range(0.7, 1.4, "Smallest and largest exponent of gamma.", { min: 0.1, max: 10 }),
    gamma_probability: probability("gamma", 0.5),
    affine: off("Scale, rotate, shear and shift by random amounts within the next four keys."),
    affine_scale: z
      .tuple([z.number().positive(), z.number().positive()])
      .default([0.8, 1.2])
      .describe("Smallest and largest factor of affine."),
    affine_rotate: z
      .tuple([z.number().min(-180).max(180), z.number().min(-180).max(180)])
      .default([-15, 15])
      .describe("Smallest and largest angle of affine, in degrees."),
    affine_shear: z
      .number()
      .min(0)
      .max(60)
      .default(10)
      .describe("Largest angle by which affine shears along each axis, in degrees."),
    affine_translate: z
      .number()
      .min(0)
      .max(1)
      .default(0)
      .describe("Largest shift of affine along each axis, as a share of the image's size."),
    affine_probability: probability("affine", 1),
    noise: off("Add noise of a random kind of noise_kinds."),
    noise_kinds: z
      .array(z.enum(["gaussian", "iso", "multiplicative"]))
      .min(1)
      .default(["gaussian", "iso", "multiplicative"])
      .describe(
        "Of noise: gaussian is the same everywhere, iso is a camera's at high sensitivity (mostly gray, more where it is " +
          "bright), multiplicative grows with the pixel.",
      ),
    noise_strength: range(0.02, 0.1, "Smallest and largest standard deviation of noise, white being 1.", {
      min: 0,
      max: 1,
    }),
    noise_probability: probability("noise", 0.5),
    blur: off("Blur by a random amount, in a random way of blur_kinds."),
    blur_kinds: z
      .array(z.enum(["gaussian", "motion", "median"]))
      .min(1)
      .default(["gaussian", "motion", "median"])
      .describe("Of blur: gaussian, motion (along a line of random direction), median (of 3x3 pixels)."),
    blur_sigma: range(0.3, 1.2, "Smallest and largest standard deviation of gaussian blur, in pixels.", {
      min: 0.05,
      max: 2,
    }),
    blur_length: z.number().min(2).max(7).default(5).describe("Longest way of motion blur, in pixels."),
    blur_probability: probability("blur", 0.5),
    grid_distortion: off("Distort along a random grid."),
    grid_distortion_steps: z.int().min(2).max(16).default(5).describe("Cells of grid_distortion along each axis."),
    grid_distortion_limit: z
      .number()
      .min(0)
      .max(0.9)
      .default(0.3)
      .describe("Largest relative change of a cell's size by grid_distortion."),
    grid_distortion_probability: probability("grid_distortion", 0.5),
    elastic_transform: off("Distort by a smooth random field."),
    elastic_transform_cells: z
      .int()
      .min(1)
      .max(8)
      .default(4)
      .describe("Cells of the field of elastic_transform along each axis: more are rougher."),
    elastic_transform_strength: z
      .number()
      .min(0)
      .max(0.5)
      .default(0.05)
      .describe("Standard deviation of elastic_transform's control points, as a share of the image's size."),
    elastic_transform_probability: probability("elastic_transform", 0.5),
    cutout: off("Black out one random square."),
    cutout_size: holes(8, "Side of the square of cutout, in pixels."),
    cutout_probability: probability("cutout", 1),
    random_erasing: off("Black out one random rectangle."),
    random_erasing_scale: range(0.02, 0.33, "Share of the area that random_erasing blacks out.", {
      min: 0.001,
      max: 1,
    }),
    random_erasing_ratio: range(0.3, 3.3, "Height by width of random_erasing's rectangle.", { min: 0.01, max: 100 }),
    random_erasing_probability: probability("random_erasing", 0.5),
    grid_mask: off("Black out a regular grid of squares."),
    grid_mask_period: range(8, 16, "Smallest and largest distance of grid_mask's squares, in pixels.", {
      min: 2,
      max: 1024,
    }),
    grid_mask_ratio: z
      .number()
      .gt(0)
      .lt(1)
      .default(0.5)
      .describe("Side of a square of grid_mask as a share of their distance."),
    grid_mask_probability: probability("grid_mask", 0.5),
    hole_fill: z
      .enum(["black", "mean"])
      .default("black")
      .describe(
        "What coarse_dropout, cutout, random_erasing and grid_mask put in: black, or the colour that normalisation " +
          "centres at.",
      ),
    rand_augment: off("RandAugment: rand_augment_operations random operations on each image, all of one magnitude."),
    rand_augment_operations: z.int().min(1).max(14).default(2).describe("Operations of rand_augment."),
    rand_augment_magnitude: z.int().min(0).max(30).default(9).describe("Magnitude of rand_augment."),
    trivial_augment: off("TrivialAugment: one random operation of a random magnitude on each image."),
    mixup: off("Mix images and labels of neighbours in the batch by a random share."),
    mixup_alpha: z.number().gt(0).max(100).default(0.2).describe("The shares of mixup are Beta(alpha, alpha)."),
    cutmix: off("Replace a random rectangle by that of the neighbour in the batch, and as much of the label."),
    cutmix_alpha: z.number().gt(0).max(100).default(1).describe("The areas of cutmix are Beta(alpha, alpha)."),
    mix_probability: z
      .number()
      .min(0)
      .max(1)
      .default(1)
      .describe("Probability of mixup or cutmix for each image; with both on, half of it for each."),
  })
  .describe("Random changes of the training images.");
