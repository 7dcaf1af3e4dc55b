import { PipelineError } from "../base/errors.ts";

/** The error of every file of weights that can't be read: what is wrong with it. */
export function damagedWeights(why: string, cause?: unknown): PipelineError {
  return new PipelineError("WEIGHTS_DAMAGED", `no usable file of weights: ${why}`, {
    remedy: "fetch it again, or save the state dict alone: torch.save(model.state_dict(), path)",
    cause,
  });
}
