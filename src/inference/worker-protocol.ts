import type { Preprocessing } from "./preprocess.ts";

/** What the predictor and its worker threads say to each other. */
export interface InferenceWorkerData {
  readonly modelPath: string;
  readonly preprocessing: Preprocessing;
  readonly classCount: number;
  readonly threads: number;
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
