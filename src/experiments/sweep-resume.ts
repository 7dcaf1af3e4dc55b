import { PipelineError } from "../base/errors.ts";
import { flattenConfig } from "../config/flatten.ts";
import type { Config } from "../config/schema.ts";

/** What a resumed sweep may have otherwise: how long it goes on, and where it runs. */
const freeKeys: ReadonlySet<string> = new Set([
  "ray_tune.use_ray_tune",
  "ray_tune.num_samples",
  "ray_tune.time_budget_s",
  "ray_tune.flops_budget",
  "ray_tune.executor",
  "ray_tune.max_concurrent",
  "ray_tune.max_failures",
  "ray_tune.heartbeat_timeout_s",
  "ray_tune.resources_per_trial.cpu",
  "ray_tune.resources_per_trial.gpu",
  "ray_tune.ray.address",
  "ray_tune.ray.token_file",
  "ray_tune.ray.node_modules",
  "ray_tune.ray.node_command",
  "dataset.source",
  "dataset.data_dir",
]);

/** @throws RESUME_REFUSED naming every setting that is not as it was when the sweep was started */
export function checkSameSweep(
  studyId: string,
  { before, now }: { readonly before: Config; readonly now: Config },
): void {
  const old = flattenConfig(before);
  const changed = Object.entries(flattenConfig(now))
    .filter(([key, value]) => !freeKeys.has(key) && old[key] !== value)
    .map(([key, value]) => ({ key, before: old[key], now: value }));
  if (changed.length === 0) return;
  const list = changed.map((change) => `  - ${change.key}: was ${change.before}, is ${change.now}`).join("\n");
  throw new PipelineError(
    "RESUME_REFUSED",
    `study ${studyId} was started with other settings, so its trials could not be compared:\n${list}\n`,
    { remedy: "leave these settings out to go on with those of the study, or start a new one", details: { changed } },
  );
}
