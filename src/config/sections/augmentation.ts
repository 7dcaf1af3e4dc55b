import { z } from "zod";

const off = (description: string) => z.boolean().default(false).describe(description);
const amount = (description: string) => z.number().min(0).max(1).default(0.2).describe(description);
const holes = (value: number, description: string) => z.int().min(1).max(1024).default(value).describe(description);

export const augmentationSection = z
  .strictObject({
    use_augmentation: z.boolean().default(true).describe("false: training images are used as they are."),
    random_resized_crop: off("Cut out a random part of the image and resize it to img_size."),
    random_crop: z.boolean().default(true).describe("Pad by crop_padding and cut out a random window."),
    crop_padding: z.int().min(0).max(64).default(4).describe("Pixels of padding on each side for random_crop."),
    crop_border: z
      .enum(["reflect", "zeros"])
      .default("reflect")
      .describe("What random_crop pads with: the mirrored image or black."),
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
    channel_dropout: off("Black out one random colour channel."),
    color_jitter: off("Change brightness, contrast, saturation and hue at random, by the next four amounts."),
    brightness: amount("Largest relative change of brightness by color_jitter."),
    contrast: amount("Largest relative change of contrast by color_jitter."),
    saturation: amount("Largest relative change of saturation by color_jitter."),
    hue: z.number().min(0).max(0.5).default(0.1).describe("Largest shift of hue by color_jitter, in turns."),
    affine: off("Scale and rotate by random amounts within the next two ranges."),
    affine_scale: z
      .tuple([z.number().positive(), z.number().positive()])
      .default([0.8, 1.2])
      .describe("Smallest and largest factor of affine."),
    affine_rotate: z
      .tuple([z.number().min(-180).max(180), z.number().min(-180).max(180)])
      .default([-15, 15])
      .describe("Smallest and largest angle of affine, in degrees."),
    noise: off("Add Gaussian noise."),
    blur: off("Blur by a random amount."),
    grid_distortion: off("Distort along a random grid."),
    elastic_transform: off("Distort by a smooth random field."),
    cutout: off("Black out one random square."),
    grid_mask: off("Black out a regular grid of squares."),
  })
  .describe("Random changes of the training images.");
