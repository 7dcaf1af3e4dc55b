import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isMissing } from "../base/durable.ts";
import { isPipelineError } from "../base/errors.ts";
import { type Bundle, readBundle, sampleFile, weightsFile, writeBundle } from "../inference/bundle.ts";
import { readSafetensors } from "../tensor/safetensors.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { timestamp } from "./run-folder.ts";

interface KeepOptions {
  /** Folder of the models. */
  readonly root: string;
  readonly name: string;
  /** When its training ended: part of the name, so that a sweep that is taken up here again finds what it has kept. */
  readonly endedAt: Date;
  readonly now: Date;
}

/** A copy of a trial's bundle among the models, under the name MODEL_tuned_TIME. */
export async function keepTunedBundle(trialBundle: string, { root, name, endedAt, now }: KeepOptions): Promise<Bundle> {
  const { modelPath, metadata, directory } = await readBundle(trialBundle);
  const { modelSha256, ...rest } = metadata;
  const modelBytes = await readFile(modelPath);
  const tensorsOf = async (file: string) => {
    const read = await readSafetensors(join(directory, file)).catch((error: unknown) => {
      if (!isMissing(error)) throw error;
      return undefined;
    });
    return read?.tensors;
  };
  const weights = await tensorsOf(weightsFile);
  const sample = (await tensorsOf(sampleFile))?.images;
  const base = `${name}_tuned_${timestamp(endedAt)}`;
  for (let attempt = 1; ; attempt++) {
    const wanted = attempt === 1 ? base : `${base}-${attempt}`;
    try {
      return await writeBundle({
        directory: join(root, wanted),
        modelBytes,
        weights,
        sample: sample?.dtype === "uint8" ? (sample as Tensor<"uint8">) : undefined,
        metadata: { ...rest, name: wanted, createdAt: now.toISOString() },
      });
    } catch (error) {
      if (!isPipelineError(error, "BUNDLE_EXISTS") || attempt >= 100) throw error;
      const kept = await readBundle(join(root, wanted), { check: "metadata" });
      if (kept.metadata.modelSha256 === modelSha256) return kept;
      // The best trial of another sweep ended in the same second.
    }
  }
}
