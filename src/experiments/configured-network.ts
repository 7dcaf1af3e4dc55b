import { stat } from "node:fs/promises";
import type { Config } from "../config/schema.ts";
import { readBundle } from "../inference/bundle.ts";
import type { Model } from "../models/model.ts";
import { imagenetStatistics } from "../weights/published.ts";
import { configuredModel, type InputShape } from "./configured-model.ts";
import { type ConfiguredWeights, type ConfiguredWeightsOptions, configuredWeights } from "./configured-weights.ts";
import { importedNetwork } from "./imported-network.ts";

/** What is trained, and its pretrained weights; undefined for none. */
export interface ConfiguredNetwork {
  readonly model: Model;
  readonly weights: ConfiguredWeights | undefined;
}

/** @throws what configuredModel, configuredWeights, readBundle and importedNetwork throw */
export async function configuredNetwork(
  config: Config,
  input: InputShape,
  options: ConfiguredWeightsOptions,
): Promise<ConfiguredNetwork> {
  const { name, weights: source } = config.model;
  if (name === "imported") return imported(config, source!, input);
  const model = configuredModel(config, input);
  return { model, weights: await configuredWeights(config, model, options) };
}

/** Of a bundle, which says how images are normalised, or of an ONNX file, which is taken to be trained as on ImageNet. */
async function imported(config: Config, path: string, input: InputShape): Promise<ConfiguredNetwork> {
  const isFolder = await stat(path).then(
    (info) => info.isDirectory(),
    () => false,
  );
  const bundle = isFolder ? await readBundle(path) : undefined;
  const { mean, std } = bundle?.metadata.preprocessing ?? imagenetStatistics;
  const { model, weights } = await importedNetwork(config, bundle?.modelPath ?? path, input);
  return { model, weights: { ...weights, path, mean, std } };
}
