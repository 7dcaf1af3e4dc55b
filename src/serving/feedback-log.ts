import { PipelineError } from "../base/errors.ts";

/** A prediction that a client may still comment on. */
export interface RecentPrediction {
  readonly model: string;
  readonly classes: readonly string[];
  readonly predictedClass: number;
  readonly confidence: number;
  trueClass: number | undefined;
}

export interface FeedbackResult {
  readonly prediction: RecentPrediction;
  readonly trueClass: number;
  readonly correct: boolean;
  readonly accuracy: number;
  readonly count: number;
}

interface Tally {
  right: number;
  count: number;
}

const maxModels = 100;

/** Remembers the latest predictions by request id and counts which of them clients found right, for each model. */
export class FeedbackLog {
  readonly #capacity: number;
  /** In the order of arrival. */
  readonly #recent = new Map<string, RecentPrediction>();
  readonly #tallies = new Map<string, Tally>();

  constructor({ capacity = 20_000 } = {}) {
    this.#capacity = capacity;
  }

  remember(requestId: string, prediction: Omit<RecentPrediction, "trueClass">): void {
    // A client may use an id twice: the latest prediction counts.
    this.#recent.delete(requestId);
    this.#recent.set(requestId, { ...prediction, trueClass: undefined });
    if (this.#recent.size > this.#capacity) this.#recent.delete(this.#recent.keys().next().value!);
  }

  /**
   * Records the true class of a prediction; a second report replaces the first.
   * @throws PREDICTION_NOT_FOUND, REQUEST_INVALID for a class that the model does not have
   */
  report(requestId: string, truth: { readonly label: string } | { readonly index: number }): FeedbackResult {
    const prediction = this.#recent.get(requestId);
    if (prediction === undefined) {
      throw new PipelineError("PREDICTION_NOT_FOUND", "no recent prediction has that request id", {
        remedy: `send feedback within the next ${this.#capacity} predictions and before a restart`,
      });
    }
    const { classes, model, predictedClass } = prediction;
    const trueClass = "label" in truth ? classes.indexOf(truth.label) : truth.index;
    if (trueClass < 0 || trueClass >= classes.length) {
      throw new PipelineError("REQUEST_INVALID", "the model has no such class", { remedy: "see /classes" });
    }
    const tally = this.#tallies.get(model) ?? { right: 0, count: 0 };
    if (prediction.trueClass !== undefined) {
      tally.count--;
      if (prediction.trueClass === predictedClass) tally.right--;
    }
    prediction.trueClass = trueClass;
    const correct = trueClass === predictedClass;
    tally.count++;
    if (correct) tally.right++;
    this.#tallies.set(model, tally);
    if (this.#tallies.size > maxModels) this.#tallies.delete(this.#tallies.keys().next().value!);
    return { prediction, trueClass, correct, accuracy: tally.right / tally.count, count: tally.count };
  }

  /** Share of right predictions among those with feedback; undefined without any. */
  accuracyOf(model: string): number | undefined {
    const tally = this.#tallies.get(model);
    return tally === undefined || tally.count === 0 ? undefined : tally.right / tally.count;
  }
}
