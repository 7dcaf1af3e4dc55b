import { z } from "zod";
import { pathText } from "../path-text.ts";

/** Of the three colour channels. */
const statistic = (channel: z.ZodNumber, what: string) =>
  z
    .tuple([channel, channel, channel])
    .nullable()
    .default(null)
    .describe(
      `${what} of red, green and blue, on the scale 0..1, by which images are normalised. null: what the pretrained ` +
        "weights want, else that of the training images.",
    );

export const datasetSection = z
  .strictObject({
    name: z
      .enum(["cifar10", "cifar100", "folder"])
      .default("cifar10")
      .describe("Data set: CIFAR-10, CIFAR-100 or a folder with one sub-folder of images for each class."),
    source: pathText()
      .nullable()
      .default(null)
      .transform((source) => source ?? "official")
      .describe(
        '"official" (download), "synthetic" (generated, for machines without network) or the path of an archive ' +
          "(.tar.gz, .tar.xz) or folder. null: the environment variable CIFAR_SOURCE when it is set, else official.",
      ),
    data_dir: pathText().default("data").describe("Folder for downloaded and unpacked data."),
    img_size: z.int().min(8).max(1024).default(32).describe("Height and width of the network's input, in pixels."),
    num_classes: z
      .int()
      .min(2)
      .max(100_000)
      .nullable()
      .default(null)
      .describe("Number of classes, checked against the data. null: as many as the data has."),
    num_workers: z
      .int()
      .min(0)
      .max(64)
      .default(0)
      .describe("Worker threads that prepare batches. 0: the training thread does it."),
    limit: z.int().min(1).nullable().default(null).describe("Use only the first N training images. null: all of them."),
    mean: statistic(z.number().min(0).max(1), "Mean"),
    std: statistic(z.number().positive().max(1), "Standard deviation"),
    validation_fraction: z
      .number()
      .min(0)
      .max(0.9)
      .default(0.1)
      .describe("Share of the training images that is held out for validation, drawn by class with the seed."),
  })
  .describe("Which images, and from where.");
