import type { BundleMetadata } from "../inference/bundle-metadata.ts";
import { softmax, topK } from "../inference/softmax.ts";
import type { Tensor } from "../tensor/tensor.ts";

type Reference = BundleMetadata["reference"];

const bins = 20;

/** What served predictions are compared with: frequencies and confidences on the validation images. */
export function driftReference(logits: Tensor<"float32">, temperature: number): Reference {
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
  return { count, classFrequency: frequency.map((n) => n / count), meanConfidence: sum / count, confidenceHistogram };
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
