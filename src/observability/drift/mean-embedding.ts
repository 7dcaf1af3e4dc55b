import { createRng } from "../../base/rng.ts";
import { gammaSurvival } from "./gamma.ts";

export type Vectors = readonly ArrayLike<number>[];

/** Random Fourier features: with more the kernel is met better, at a cost for each prediction. */
const featureCount = 128;

/**
 * Maximum mean discrepancy (Gretton et al. 2012) between a fixed reference and a moving window, with a Gaussian kernel
 * in its random Fourier features (Rahimi and Recht 2007): the distance is that of two mean vectors, so that it costs a
 * few microseconds a prediction whatever the window. Features are standardised by the reference; the bandwidth is the
 * median distance of its vectors.
 */
export class MeanEmbedding {
  readonly #mean: Float64Array;
  readonly #scale: Float64Array;
  readonly #frequencies: Float64Array;
  readonly #phases: Float64Array;
  readonly #referenceMean: Float64Array;
  /** Trace of the covariance of the embedded reference, and of its square. */
  readonly #trace: number;
  readonly #traceSquare: number;
  readonly #count: number;

  constructor(reference: Vectors) {
    const dimension = reference[0]?.length ?? 0;
    this.#count = reference.length;
    this.#mean = new Float64Array(dimension);
    this.#scale = new Float64Array(dimension);
    for (let d = 0; d < dimension; d++) {
      const mean = reference.reduce((sum, vector) => sum + vector[d]!, 0) / reference.length;
      const variance = reference.reduce((sum, vector) => sum + (vector[d]! - mean) ** 2, 0) / reference.length;
      this.#mean[d] = mean;
      // A feature that never varied tells nothing: it is left out rather than blown up.
      this.#scale[d] = variance > 0 ? 1 / Math.sqrt(variance) : 0;
    }
    const rng = createRng("drift");
    const bandwidth = this.#medianDistance(reference);
    this.#frequencies = Float64Array.from({ length: featureCount * dimension }, () => rng.normal() / bandwidth);
    this.#phases = Float64Array.from({ length: featureCount }, () => 2 * Math.PI * rng.uniform());
    const embedded = reference.map((vector) => this.embed(vector));
    this.#referenceMean = meanOf(embedded);
    ({ trace: this.#trace, traceSquare: this.#traceSquare } = covarianceTraces(embedded, this.#referenceMean));
  }

  /** The vector's place in the space of the kernel; its length is at most the square root of two. */
  embed(vector: ArrayLike<number>): Float64Array {
    const dimension = this.#mean.length;
    const out = new Float64Array(featureCount);
    const factor = Math.sqrt(2 / featureCount);
    for (let f = 0; f < featureCount; f++) {
      let angle = this.#phases[f]!;
      for (let d = 0; d < dimension; d++) {
        angle += this.#frequencies[f * dimension + d]! * (vector[d]! - this.#mean[d]!) * this.#scale[d]!;
      }
      out[f] = factor * Math.cos(angle);
    }
    return out;
  }

  /** Squared discrepancy of embedded vectors from the reference, and its probability without drift. */
  test(window: readonly Float64Array[]): { readonly score: number; readonly pValue: number } {
    const mean = meanOf(window);
    let score = 0;
    for (let f = 0; f < featureCount; f++) score += (mean[f]! - this.#referenceMean[f]!) ** 2;
    const pValue = discrepancyPValue({
      score,
      n: this.#count,
      m: window.length,
      trace: this.#trace,
      traceSquare: this.#traceSquare,
    });
    return { score, pValue };
  }

  #medianDistance(reference: Vectors): number {
    const step = Math.max(1, Math.floor(reference.length / 100));
    const chosen = reference.filter((_, i) => i % step === 0);
    const distances: number[] = [];
    for (let i = 0; i < chosen.length; i++) {
      for (let j = 0; j < i; j++) {
        let sum = 0;
        for (let d = 0; d < this.#mean.length; d++) {
          sum += ((chosen[i]![d]! - chosen[j]![d]!) * this.#scale[d]!) ** 2;
        }
        distances.push(Math.sqrt(sum));
      }
    }
    distances.sort((a, b) => a - b);
    return distances[Math.floor(distances.length / 2)] || 1;
  }
}

/**
 * The difference of the two means is nearly normal with covariance S (1/n + 1/m), so its square length is a weighted sum
 * of chi-squares; a gamma variable with the same mean and variance stands for it (Satterthwaite; Gretton et al. 2009).
 */
export function discrepancyPValue(figures: {
  readonly score: number;
  readonly n: number;
  readonly m: number;
  readonly trace: number;
  readonly traceSquare: number;
}): number {
  const { score, n, m, trace, traceSquare } = figures;
  if (!(trace > 0)) return score > 0 ? 0 : 1;
  const factor = 1 / n + 1 / m;
  const shape = trace ** 2 / (2 * traceSquare);
  const scale = (2 * factor * traceSquare) / trace;
  return gammaSurvival(shape, score / scale);
}

export function meanOf(vectors: readonly Float64Array[]): Float64Array {
  const mean = new Float64Array(vectors[0]?.length ?? 0);
  for (const vector of vectors) for (let f = 0; f < mean.length; f++) mean[f]! += vector[f]! / vectors.length;
  return mean;
}

/** Trace of the covariance S of vectors, and of S S: the sums of its eigenvalues and of their squares. */
export function covarianceTraces(vectors: readonly Float64Array[], mean: Float64Array) {
  const size = mean.length;
  const covariance = new Float64Array(size * size);
  for (const vector of vectors) {
    for (let i = 0; i < size; i++) {
      const a = vector[i]! - mean[i]!;
      for (let j = 0; j <= i; j++) covariance[i * size + j]! += (a * (vector[j]! - mean[j]!)) / (vectors.length - 1);
    }
  }
  let trace = 0;
  let traceSquare = 0;
  for (let i = 0; i < size; i++) {
    trace += covariance[i * size + i]!;
    for (let j = 0; j <= i; j++) traceSquare += (i === j ? 1 : 2) * covariance[i * size + j]! ** 2;
  }
  return { trace, traceSquare };
}
