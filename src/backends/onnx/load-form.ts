import { readFile } from "node:fs/promises";
import { PipelineError } from "../../base/errors.ts";
import type { InferenceModel, InferenceModelOptions } from "../../graph/executor.ts";
import { lowerForMachine } from "./export.ts";
import { foldWeights } from "./fold-weights.ts";
import { loadInferenceModel } from "./inference-model.ts";
import { blockSize } from "./probe.ts";
import { readModel } from "./read-model.ts";

/** The files of a network: as it was exported, and quantised where that was done. */
export interface FormFiles {
  readonly portable: string;
  readonly int8?: string | undefined;
}

export interface FormRequest {
  readonly form: "portable" | "machine" | "int8";
  /** Images of each run, for a form that is made for one size of batch. */
  readonly size?: number | undefined;
}

/**
 * Loads one form of a network.
 * @throws INVALID_ARGUMENT; DEVICE_UNAVAILABLE where this processor has no blocked kernels; MODEL_UNSUPPORTED and
 * MODEL_DAMAGED for a file that can't be read back
 */
export async function loadForm(
  { form, size }: FormRequest,
  files: FormFiles,
  options: InferenceModelOptions,
): Promise<InferenceModel> {
  if (form !== "machine") {
    const path = form === "int8" ? files.int8 : files.portable;
    if (path === undefined) throw new PipelineError("INVALID_ARGUMENT", `the bundle has no ${form} form`);
    return loadInferenceModel(path, options);
  }
  const block = await blockSize();
  if (block === 0) throw new PipelineError("DEVICE_UNAVAILABLE", "this processor has no blocked kernels");
  if (size === undefined) throw new PipelineError("INVALID_ARGUMENT", "the machine's form is for one size of batch");
  const { graph, weights } = readModel(await readFile(files.portable), { batch: size });
  return loadInferenceModel(lowerForMachine(await foldWeights(graph, weights), block), options);
}
