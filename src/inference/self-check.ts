import { PipelineError } from "../base/errors.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import type { BundleMetadata } from "./bundle-metadata.ts";
import type { Predictor } from "./predictor.ts";
import { noise } from "./sample-images.ts";

/** Largest difference, relative to the largest logit, that batching may make. */
const batchTolerance = 1e-3;

/**
 * Runs a model on images that are always the same, alone and as a batch, before it is taken into service.
 * @throws MODEL_REFUSED when a logit is not finite, all images get the same logits, or batching changes the answer
 */
export async function selfCheck(
  predictor: Predictor,
  { name, preprocessing: { height, width } }: Pick<BundleMetadata, "name" | "preprocessing">,
): Promise<void> {
  const images = tensor("uint8", [4, 3, height, width], noise(4, { height, width }));
  const alone = await predictor.predict(first(images));
  const together = await predictor.predict(images);
  const classes = together.shape[1]!;
  const scale = together.data.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  const refuse = (reason: string): never => {
    throw new PipelineError("MODEL_REFUSED", `model ${name} failed its self-check: ${reason}`, {
      remedy: "train it again or restore its bundle; the model that served before goes on",
    });
  };
  if (!together.data.every(Number.isFinite) || !alone.data.every(Number.isFinite)) refuse("a logit is not finite");
  for (let k = 0; k < classes; k++) {
    const difference = Math.abs(together.data[k]! - alone.data[k]!);
    if (difference > batchTolerance * Math.max(1, scale)) refuse(`batching changes logit ${k} by ${difference}`);
  }
  const rows = Array.from({ length: 4 }, (_, n) => together.data.slice(n * classes, (n + 1) * classes).join());
  if (new Set(rows).size === 1) refuse("it gives different images the same logits");
}

function first(images: Tensor<"uint8">): Tensor<"uint8"> {
  const shape = [1, ...images.shape.slice(1)];
  return tensor("uint8", shape, images.data.slice(0, images.data.length / images.shape[0]!));
}
