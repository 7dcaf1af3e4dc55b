import { stat } from "node:fs/promises";
import { PipelineError } from "../base/errors.ts";
import type { Config } from "../config/schema.ts";
import type { OnDataProgress } from "../data/progress.ts";
import { readBundle } from "../inference/bundle.ts";
import type { Model } from "../models/model.ts";
import { fetchWeights } from "../weights/fetch-weights.ts";
import { type FittedWeights, fitWeights } from "../weights/fit-weights.ts";
import { imagenetStatistics, publishedWeights } from "../weights/published.ts";
import { readWeights } from "../weights/read-weights.ts";

/** Pretrained weights that fit a model, and what came with them. */
export interface ConfiguredWeights extends FittedWeights {
  readonly path: string;
  /** SHA-256 of the file. */
  readonly digest: string;
  /** How the images were normalised in their training. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

export interface ConfiguredWeightsOptions {
  readonly onProgress?: OnDataProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The weights that model.weights names; undefined for none. Frozen stages need the stages only; fine-tuning takes the
 * head too, but for a last layer of another number of classes.
 * @throws WEIGHTS_UNAVAILABLE, WEIGHTS_DAMAGED, WEIGHTS_MISMATCH; CONFIG_INVALID where no weights are published
 */
export async function configuredWeights(
  config: Config,
  model: Model,
  options: ConfiguredWeightsOptions = {},
): Promise<ConfiguredWeights | undefined> {
  const { weights: source, weights_dir: directory, transfer_mode: mode } = config.model;
  if (source === null) return undefined;
  const { path, ...statistics } =
    source === "imagenet" ? await published(model.name, directory, options) : await local(source, model.name);
  const { tensors, digest } = await readWeights(path);
  const fitted = fitWeights({ model, tensors, want: mode === "fine_tune" ? "replaceable classifier" : "stages" });
  return { ...fitted, ...statistics, path, digest };
}

type Located = Pick<ConfiguredWeights, "path" | "mean" | "std">;

async function published(name: string, directory: string, options: ConfiguredWeightsOptions): Promise<Located> {
  const weights = publishedWeights(name);
  if (weights === undefined) {
    throw new PipelineError("CONFIG_INVALID", `model.weights: there are no published weights of ${name} on ImageNet`, {
      remedy: "give the path of a file, or choose another model.name",
    });
  }
  const { mean, std } = weights;
  return { path: await fetchWeights({ published: weights, directory, ...options }), mean, std };
}

/** What a bundle was trained with is known; a file of others is taken to be trained as the published weights are. */
async function local(path: string, name: string): Promise<Located> {
  const isFolder = await stat(path).then(
    (info) => info.isDirectory(),
    () => false,
  );
  if (!isFolder) {
    const { mean, std } = publishedWeights(name) ?? imagenetStatistics;
    return { path, mean, std };
  }
  const { mean, std } = (await readBundle(path, { check: "metadata" })).metadata.preprocessing;
  return { path, mean, std };
}
