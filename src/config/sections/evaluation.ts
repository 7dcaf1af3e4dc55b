import { z } from "zod";

export const evaluationSection = z
  .strictObject({
    tta: z
      .enum(["none", "mirror", "mirror_shift"])
      .default("none")
      .describe(
        "Test-time augmentation: none, the mean over the image and its mirror image, or that with shifts by one pixel too.",
      ),
    quantize: z
      .boolean()
      .default(false)
      .describe("Give the model bundle an 8-bit form at the end of a training, as `cifar quantize` does."),
    batch_size: z.int().min(1).max(65_536).default(256).describe("Images evaluated at once."),
  })
  .describe("How a trained network is measured.");
