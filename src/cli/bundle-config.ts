import { loadConfig } from "../config/load.ts";
import { formatOverride } from "../config/override.ts";
import type { Config } from "../config/schema.ts";
import type { Bundle } from "../inference/bundle.ts";
import type { ConfigArguments } from "./config-options.ts";
import type { Terminal } from "./display/terminal.ts";

/**
 * The configuration of the bundle's training, so that the same images are held out, with what is given on the command
 * line on top. Where CIFAR_SOURCE tells of real data, a model of real data takes them from there.
 */
export function bundleConfig(
  { env }: Terminal,
  { metadata }: Bundle,
  { config, preset, set }: ConfigArguments,
): Config {
  const source = env.CIFAR_SOURCE ?? "";
  const moved = source === "" || metadata.dataset.synthetic ? [] : [`dataset.source=${source}`];
  const trained = Object.entries(metadata.training.config).map(([name, value]) => formatOverride(name, value));
  if (config === undefined && preset === undefined) {
    return loadConfig({ env: {}, overrides: [...trained, ...moved, ...set] }).config;
  }
  // A file or preset may say where data are and how to evaluate; the model stays what it is.
  const base = loadConfig({ env: {}, overrides: trained }).config;
  const { dataset, evaluation } = loadConfig({
    env,
    overrides: set,
    ...(config === undefined ? {} : { file: config }),
    ...(preset === undefined ? {} : { preset }),
  }).config;
  const { source: from, data_dir } = dataset;
  return { ...base, dataset: { ...base.dataset, source: from, data_dir }, evaluation };
}
