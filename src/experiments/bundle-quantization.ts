import type { BundleFormMetadata } from "../inference/bundle-form.ts";
import type { ModelTimes } from "./time-models.ts";

/** The 8-bit form of a bundle beside the float model. */
export interface BundleQuantization {
  readonly form: BundleFormMetadata;
  readonly modelPath: string;
  readonly synthetic: boolean;
  /** On this machine, with all its cores. */
  readonly times: { readonly float: ModelTimes; readonly form: ModelTimes };
  /** As accurate on validation images, and faster here. */
  readonly servedByDefault: boolean;
}
