import type { Rng } from "../../base/rng.ts";
import type { Params, Space } from "../space.ts";
import type { Trial } from "../trial.ts";

export interface SampleContext {
  readonly space: Space;
  /** Every trial so far, by number. */
  readonly trials: readonly Trial[];
  readonly direction: "minimize" | "maximize";
  /** Of the new trial alone: the same trials give the same proposal, also after a restart. */
  readonly rng: Rng;
}

/** Proposes the parameters of the next trial; undefined when there is nothing left to try. */
export interface Sampler {
  sample(context: SampleContext): Params | undefined;
}
