import { createHash } from "node:crypto";
import { PipelineError } from "../base/errors.ts";
import { flattenConfig } from "../config/flatten.ts";
import type { Config } from "../config/schema.ts";

/**
 * Keys that a resumed run may have otherwise, because they change neither its weights nor its metrics. Where the data
 * lie is free, as their digest is compared.
 */
const freeKeys: ReadonlySet<string> = new Set([
  "dataset.source",
  "dataset.data_dir",
  "dataset.num_workers",
  "model.weights_dir",
  "model.transfer.feature_dir",
  "training.checkpoint_dir",
  "training.checkpoint_every_steps",
  "evaluation.tta",
  "evaluation.quantize",
]);
const freeSections = ["mlflow", "serving", "ray_tune", "distributed"];

function isFree(key: string): boolean {
  return freeKeys.has(key) || freeSections.some((section) => key.startsWith(`${section}.`));
}

/** Names what decides about a run's weights: a checkpoint belongs to exactly one such name. */
export function configFingerprint(config: Config, datasetDigest: string, weightsDigest?: string): string {
  const decisive = Object.entries(flattenConfig(config)).filter(([key]) => !isFree(key));
  return createHash("sha256")
    .update(JSON.stringify([decisive, datasetDigest, ...(weightsDigest === undefined ? [] : [weightsDigest])]))
    .digest("hex")
    .slice(0, 16);
}

/** @throws RESUME_REFUSED naming every setting that is not as it was when the run was started */
export function checkSameConfig(
  runId: string,
  { before, now }: { readonly before: Config; readonly now: Config },
): void {
  const old = flattenConfig(before);
  const changed = Object.entries(flattenConfig(now))
    .filter(([key, value]) => !isFree(key) && old[key] !== value)
    .map(([key, value]) => ({ key, before: old[key], now: value }));
  if (changed.length === 0) return;
  const list = changed.map((change) => `  - ${change.key}: was ${change.before}, is ${change.now}`).join("\n");
  throw new PipelineError(
    "RESUME_REFUSED",
    `run ${runId} was started with other settings, so it could not go on as the same run:\n${list}\n`,
    { remedy: "leave these settings out to go on with those of the run, or start a new run", details: { changed } },
  );
}

/** @throws RESUME_REFUSED when the images are not those that the run was started with */
export function checkSameData(
  runId: string,
  { before, now }: { readonly before: string | undefined; readonly now: string },
): void {
  if (before === undefined || before === now) return;
  throw new PipelineError(
    "RESUME_REFUSED",
    `run ${runId} was started with other images (digest ${before}, now ${now})`,
    {
      remedy: "name the original data with --set dataset.source=PATH, or start a new run",
      details: { before, now },
    },
  );
}
