import type { ImageSplit } from "../data/dataset.ts";
import type { BundleMetadata } from "../inference/bundle-metadata.ts";
import { driftFeatures, imageStatistics, quantised } from "../inference/drift-features.ts";
import { softmax, topK } from "../inference/softmax.ts";
import type { Tensor } from "../tensor/tensor.ts";

type Reference = BundleMetadata["reference"];

const bins = 20;

/** Images kept one by one, fewer where there are many classes: they are text in the bundle. */
const maxSamples = 1000;
const maxSampleNumbers = 60_000;

/** What served predictions are compared with: frequencies and confidences on the validation images. */
export function driftReference(logits: Tensor<"float32">, temperature: number, images: ImageSplit): Reference {
  const [count = 0, classes = 0] = logits.shape;
  const frequency = new Array<number>(classes).fill(0);
  const confidenceHistogram = new Array<number>(bins).fill(0);
  let sum = 0;
  for (let n = 0; n < count; n++) {
    const best = topK(softmax(logits.data.subarray(n * classes, (n + 1) * classes), temperature), 1)[0]!;
    frequency[best.index]! += 1;
    confidenceHistogram[Math.min(bins - 1, Math.floor(best.probability * bins))]! += 1;
    sum += best.probability;
  }
  return {
    count,
    classFrequency: frequency.map((n) => n / count),
    meanConfidence: sum / count,
    confidenceHistogram,
    samples: samplesOf(logits, temperature, images),
  };
}

/** Evenly spread over the images, whose order says nothing. */
function samplesOf(
  logits: Tensor<"float32">,
  temperature: number,
  { images, height, width }: ImageSplit,
): NonNullable<Reference["samples"]> {
  const [count = 0, classes = 0] = logits.shape;
  const wanted = Math.min(count, maxSamples, Math.floor(maxSampleNumbers / (2 * classes + 5)));
  const bytes = 3 * height * width;
  const chosen = Array.from({ length: wanted }, (_, i) => Math.floor((i * count) / wanted));
  const rows = chosen.map((n) => logits.data.subarray(n * classes, (n + 1) * classes));
  return {
    probabilities: rows.map((row) => quantised(softmax(row, temperature))),
    features: chosen.map((n, i) => {
      return driftFeatures(rows[i]!, imageStatistics(images.subarray(n * bytes, (n + 1) * bytes), height, width));
    }),
  };
}

/** For a model without validation images: nothing to compare with. */
export function emptyReference(classes: number): Reference {
  return {
    count: 0,
    classFrequency: new Array<number>(classes).fill(0),
    meanConfidence: 0,
    confidenceHistogram: new Array<number>(bins).fill(0),
  };
}
