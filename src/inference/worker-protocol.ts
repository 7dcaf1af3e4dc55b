import type { FormPlan, FormVariant } from "./forms/form-plan.ts";
import type { FormTrial } from "./forms/form-trial.ts";
import type { Preprocessing } from "./preprocess.ts";

/** The network of a bundle, as worker threads load it. */
export interface WorkerModel {
  readonly files: { readonly portable: string; readonly int8?: string | undefined };
  readonly preprocessing: Preprocessing;
  readonly classCount: number;
  /** Inside one operator. */
  readonly threads: number;
}

/** What the predictor and its worker threads say to each other. */
export interface InferenceWorkerData extends WorkerModel {
  readonly plan: FormPlan;
  /** Batch sizes to run once on zeros before the worker calls itself ready. */
  readonly warmUpBatchSizes: readonly number[];
}

export interface InferenceJob {
  readonly id: number;
  readonly count: number;
  /** count * 3 * height * width bytes, moved to the worker. */
  readonly images: Uint8Array<ArrayBuffer>;
}

export type InferenceReply =
  | { readonly type: "ready" }
  /** The model could not be loaded or does not fit; the worker ends. */
  | { readonly type: "unusable"; readonly message: string }
  | { readonly type: "result"; readonly id: number; readonly logits: Float32Array<ArrayBuffer> }
  | { readonly type: "failed"; readonly id: number; readonly message: string; readonly stack?: string | undefined };

export interface FormTrialData extends WorkerModel {
  /** To be tried; model.onnx first. */
  readonly variants: readonly FormVariant[];
  /** Whole images, uint8. */
  readonly sample: Uint8Array<ArrayBuffer>;
  readonly maxBatchSize: number;
  readonly leastAgreement: number;
  /** Of the quantised form. */
  readonly weightBits: 7 | 8;
}

export type FormTrialReply =
  | ({ readonly type: "tried" } & FormTrial)
  | { readonly type: "failed"; readonly message: string };
