export interface ClassReport {
  readonly label: string;
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
  /** Number of images of this class. */
  readonly support: number;
}

export interface ClassificationMetrics {
  /** Mean cross-entropy in nats, without label smoothing. */
  readonly loss: number;
  readonly accuracy: number;
  readonly macroPrecision: number;
  readonly macroRecall: number;
  readonly macroF1: number;
  readonly perClass: readonly ClassReport[];
  /** confusion[actual][predicted] = number of images. */
  readonly confusion: readonly (readonly number[])[];
}
