import type { MetricSource } from "../instruments.ts";
import { MeanEmbedding, type Vectors } from "./mean-embedding.ts";
import { ksDistance, ksPValue, populationStability, sorted } from "./two-sample.ts";

/** What predictions looked like on validation images: part of the model bundle. */
export interface DriftReference {
  readonly count: number;
  readonly classFrequency: readonly number[];
  /** Equal bins over 0..1. */
  readonly confidenceHistogram: readonly number[];
  /** Undefined in bundles from before there were any: then only the histograms are compared. */
  readonly samples?: { readonly probabilities: Vectors; readonly features: Vectors } | undefined;
}

export interface DriftOptions {
  /** Latest predictions that are compared; default 500. */
  readonly window?: number;
  /** Least time between two comparisons; default 10. */
  readonly intervalSeconds?: number;
  /** Probability of a false alarm in one comparison, over all tests; default 0.001. */
  readonly alpha?: number;
  /** Population stability index that counts as drift whatever the tests say; default 0.25. */
  readonly psi?: number;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

export interface DriftObservation {
  readonly index: number;
  readonly confidence: number;
  /** In the steps of the reference. */
  readonly probabilities: ArrayLike<number>;
  readonly features: ArrayLike<number>;
}

export interface DriftReport {
  readonly predictions: number;
  readonly detected: boolean;
  readonly scores: Readonly<Partial<Record<"ks" | "mmd" | "psi_confidence" | "psi_class", number>>>;
  /** Corrected for the number of classes and of tests. */
  readonly pValues: Readonly<Partial<Record<"ks" | "mmd", number>>>;
}

/** A ring of the latest values. */
class Latest<T> {
  readonly items: T[] = [];
  #next = 0;
  readonly #size: number;

  constructor(size: number) {
    this.#size = size;
  }

  add(item: T): void {
    this.items[this.#next] = item;
    this.#next = (this.#next + 1) % this.#size;
  }

  get full(): boolean {
    return this.items.length === this.#size;
  }
}

/** Labels that have to be known before they correct the estimate of the accuracy. */
const leastFeedback = 20;

/**
 * Compares the latest predictions of one model with its reference, without labels (Rabanser et al. 2019): a
 * Kolmogorov-Smirnov test of each softmax output with Bonferroni's correction, the maximum mean discrepancy of logits and
 * image statistics, and the population stability index of predicted classes and of confidence. The accuracy is estimated
 * as the mean calibrated confidence (CBPE) and corrected by what feedback says about confidence (as in prediction-powered
 * inference: Angelopoulos et al. 2023).
 */
export class DriftMonitor {
  readonly #reference: DriftReference;
  readonly #options: Required<DriftOptions>;
  readonly #window: Latest<DriftObservation & { readonly embedded: Float64Array | undefined }>;
  readonly #feedback: Latest<number>;
  readonly #sortedReference: readonly Float64Array[];
  readonly #embedding: MeanEmbedding | undefined;
  #observed = 0;
  #lastObserved = -1;
  #lastAt = Number.NEGATIVE_INFINITY;
  #report: DriftReport | undefined;

  constructor(reference: DriftReference, options: DriftOptions = {}) {
    this.#reference = reference;
    this.#options = {
      window: 500,
      intervalSeconds: 10,
      alpha: 0.001,
      psi: 0.25,
      now: () => performance.now(),
      ...options,
    };
    this.#window = new Latest(this.#options.window);
    this.#feedback = new Latest(this.#options.window);
    const samples = reference.samples;
    const classes = reference.classFrequency.length;
    this.#sortedReference =
      samples === undefined
        ? []
        : Array.from({ length: classes }, (_, c) => sorted(samples.probabilities.map((row) => row[c]!)));
    this.#embedding = samples === undefined ? undefined : new MeanEmbedding(samples.features);
  }

  observe(observation: DriftObservation): void {
    const embedded = this.#embedding?.embed(observation.features);
    this.#window.add({ ...observation, embedded });
    this.#observed++;
  }

  /** A prediction whose true label became known. */
  feedback({ confidence, correct }: { readonly confidence: number; readonly correct: boolean }): void {
    this.#feedback.add((correct ? 1 : 0) - confidence);
  }

  /** Undefined without predictions. */
  get estimatedAccuracy(): number | undefined {
    const { items } = this.#window;
    if (items.length === 0) return undefined;
    const confidence = items.reduce((sum, item) => sum + item.confidence, 0) / items.length;
    const errors = this.#feedback.items;
    const correction =
      errors.length < leastFeedback ? 0 : errors.reduce((sum, error) => sum + error, 0) / errors.length;
    return Math.min(1, Math.max(0, confidence + correction));
  }

  /** The latest comparison: a new one when there are new predictions and the interval is over. Undefined until the window is full. */
  report(): DriftReport | undefined {
    const { now, intervalSeconds } = this.#options;
    if (!this.#window.full || this.#reference.count === 0) return undefined;
    if (this.#observed !== this.#lastObserved && now() - this.#lastAt >= intervalSeconds * 1000) {
      this.#lastAt = now();
      this.#lastObserved = this.#observed;
      this.#report = this.#compare();
    }
    return this.#report;
  }

  /** Its figures as metrics. */
  readonly source: MetricSource = (instruments) => {
    const report = this.report();
    instruments.model_drift_window_predictions.set(this.#window.items.length);
    instruments.model_estimated_accuracy_ratio.set(this.estimatedAccuracy ?? Number.NaN);
    instruments.model_drift_detected.set(report === undefined ? Number.NaN : Number(report.detected));
    // Without a comparison there are no figures: not those of an earlier model.
    instruments.model_drift_score.reset();
    instruments.model_drift_p_value.reset();
    for (const [statistic, score] of Object.entries(report?.scores ?? {})) {
      instruments.model_drift_score.set({ statistic }, score);
    }
    for (const [statistic, pValue] of Object.entries(report?.pValues ?? {})) {
      instruments.model_drift_p_value.set({ statistic }, pValue);
    }
  };

  #compare(): DriftReport {
    const { items } = this.#window;
    const { classFrequency, confidenceHistogram, count, samples } = this.#reference;
    const classes = classFrequency.length;
    const classCounts = new Array<number>(classes).fill(0);
    const confidences = new Array<number>(confidenceHistogram.length).fill(0);
    for (const { index, confidence } of items) {
      classCounts[index]!++;
      confidences[Math.min(confidences.length - 1, Math.floor(confidence * confidences.length))]!++;
    }
    const scores: Record<string, number> = {
      psi_confidence: populationStability(confidenceHistogram, confidences),
      psi_class: populationStability(
        classFrequency.map((share) => share * count),
        classCounts,
      ),
    };
    const pValues: Record<string, number> = {};
    if (samples !== undefined && this.#embedding !== undefined) {
      const distances = this.#sortedReference.map((reference, c) => {
        return ksDistance(reference, sorted(items.map(({ probabilities }) => probabilities[c]!)));
      });
      scores.ks = Math.max(...distances);
      const mmd = this.#embedding.test(items.map(({ embedded }) => embedded!));
      scores.mmd = mmd.score;
      // Bonferroni: one test for each class and one for the features, each of the two families with half of alpha.
      pValues.ks = Math.min(1, 2 * classes * ksPValue(scores.ks, samples.probabilities.length, items.length));
      pValues.mmd = Math.min(1, 2 * mmd.pValue);
    }
    const { alpha, psi } = this.#options;
    const detected =
      Object.values(pValues).some((pValue) => pValue < alpha) ||
      scores.psi_confidence! > psi ||
      scores.psi_class! > psi;
    return { predictions: items.length, detected, scores, pValues };
  }
}
