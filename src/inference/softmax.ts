import { PipelineError } from "../base/errors.ts";

/**
 * Probabilities of one row of logits at a temperature: exp(l / T) / sum exp(l / T), shifted by the maximum, in double
 * precision. T > 1 flattens, T < 1 sharpens; the order of the classes stays (Guo et al. 2017).
 * @throws OUTPUT_NOT_FINITE when a logit is not finite.
 */
export function softmax(logits: ArrayLike<number>, temperature = 1): Float64Array {
  if (!(temperature > 0)) throw new PipelineError("INVALID_ARGUMENT", `temperature must be positive: ${temperature}`);
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) {
    const value = logits[i]!;
    if (!Number.isFinite(value)) {
      throw new PipelineError("OUTPUT_NOT_FINITE", `the output "logits" is ${value} for class ${i}`, {
        remedy: "the model is broken: train again or serve another bundle",
      });
    }
    if (value > max) max = value;
  }
  const out = new Float64Array(logits.length);
  let sum = 0;
  for (let i = 0; i < out.length; i++) {
    out[i] = Math.exp((logits[i]! - max) / temperature);
    sum += out[i]!;
  }
  for (let i = 0; i < out.length; i++) out[i]! /= sum;
  return out;
}

export interface RankedClass {
  readonly index: number;
  readonly probability: number;
}

/** The k most probable classes, most probable first; of equals the lower index comes first. */
export function topK(probabilities: ArrayLike<number>, k: number): RankedClass[] {
  return Array.from(probabilities, (probability, index) => ({ index, probability }))
    .sort((a, b) => b.probability - a.probability || a.index - b.index)
    .slice(0, k);
}
