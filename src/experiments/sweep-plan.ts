import { dirname, join, resolve } from "node:path";
import { statementOf } from "../base/error-transfer.ts";
import { isPipelineError } from "../base/errors.ts";
import { configToYaml } from "../config/flatten.ts";
import { type LoadedConfig, loadConfig } from "../config/load.ts";
import { formatOverride } from "../config/override.ts";
import type { Config } from "../config/schema.ts";
import type { TrialExecutor } from "../tuning/executors/executor.ts";
import { localExecutor } from "../tuning/executors/local.ts";
import { rayExecutor } from "../tuning/executors/ray.ts";
import { asha } from "../tuning/pruners/asha.ts";
import { hyperband } from "../tuning/pruners/hyperband.ts";
import { medianStopping } from "../tuning/pruners/median.ts";
import { noPruner, type Pruner } from "../tuning/pruners/pruner.ts";
import { gridSampler } from "../tuning/samplers/grid.ts";
import { quasiRandomSampler } from "../tuning/samplers/quasi-random.ts";
import { randomSampler } from "../tuning/samplers/random.ts";
import type { Sampler } from "../tuning/samplers/sampler.ts";
import { tpeSampler } from "../tuning/samplers/tpe.ts";
import type { Params } from "../tuning/space.ts";
import type { Direction } from "../tuning/trial.ts";
import type { Budget } from "../tuning/tuner.ts";
import { configuredRay } from "./configured-ray.ts";
import { overridesOf } from "./configured-space.ts";
import { trackingUri } from "./open-tracking.ts";

/** From a configuration to the parts of a sweep. */

type Tuning = Config["ray_tune"];

const samplers = {
  tpe: ({ search }) => tpeSampler({ startupTrials: search.startup_trials }),
  random: () => randomSampler,
  quasi_random: (_tuning, seed) => quasiRandomSampler({ seed }),
  grid: ({ search }) => gridSampler({ points: search.grid_points }),
} as const satisfies Record<Tuning["search"]["algorithm"], (tuning: Tuning, seed: number) => Sampler>;

export function configuredSampler({ ray_tune: tuning, training }: Config): Sampler {
  return samplers[tuning.search.algorithm](tuning, training.seed);
}

const halving = ({ grace_period, reduction_factor, mode }: Tuning["scheduler"]) => ({
  gracePeriod: grace_period,
  reductionFactor: reduction_factor,
  mode,
});

const pruners = {
  asha: (scheduler) => asha(halving(scheduler)),
  hyperband: (scheduler) => hyperband(halving(scheduler)),
  median: (scheduler) =>
    medianStopping({ startupTrials: scheduler.startup_trials, warmupSteps: scheduler.grace_period }),
  none: () => noPruner,
} as const satisfies Record<Tuning["scheduler"]["name"], (scheduler: Tuning["scheduler"]) => Pruner>;

export function configuredPruner({ ray_tune: { scheduler } }: Config): Pruner {
  return pruners[scheduler.name](scheduler);
}

/** What a trial on another machine needs to find its tracking server. */
const trackingVariables = [
  "MLFLOW_TRACKING_URI",
  "MLFLOW_TRACKING_USERNAME",
  "MLFLOW_TRACKING_PASSWORD",
  "MLFLOW_TRACKING_TOKEN",
];

/** @throws STORAGE_FAILED when the file with the cluster's token can't be read */
export async function configuredExecutor({ ray_tune: tuning }: Config, studyId: string): Promise<TrialExecutor> {
  const maxConcurrent = tuning.max_concurrent ?? undefined;
  switch (tuning.executor) {
    case "local":
      return localExecutor({ maxConcurrent });
    case "ray": {
      return rayExecutor({
        ...(await configuredRay(tuning.ray)),
        ...{ studyId, maxConcurrent },
        environment: Object.fromEntries(
          trackingVariables.flatMap((name) => {
            const value = process.env[name];
            return value === undefined ? [] : [[name, value]];
          }),
        ),
      });
    }
    default:
      return tuning.executor satisfies never;
  }
}

/** Metrics of which little is good. */
const costly = /loss|error|seconds/;

export function configuredDirection({ ray_tune: { metric, mode } }: Config): Direction {
  if (mode === null) return costly.test(metric) ? "minimize" : "maximize";
  return mode === "min" ? "minimize" : "maximize";
}

export function configuredBudget({ ray_tune: tuning }: Config): Budget {
  return {
    trials: tuning.num_samples,
    milliseconds: tuning.time_budget_s === null ? undefined : 1000 * tuning.time_budget_s,
    flops: tuning.flops_budget ?? undefined,
  };
}

/** The configuration that all trials start from, as YAML. Values that follow from others are left to follow. */
export function sweepYaml({ config, sources }: Pick<LoadedConfig, "config" | "sources">): string {
  const derived = sources["training.warmup_epochs"]?.kind === "default";
  const { training } = config;
  return configToYaml({
    ...config,
    training: { ...training, warmup_epochs: derived ? null : training.warmup_epochs } as typeof training,
  });
}

/** A trial's settings on top of the sweep's, as `--set` takes them. */
export function trialOverrides(
  config: Config,
  { params, directory }: { readonly params: Params; readonly directory: string },
): readonly string[] {
  const { dataset, model, training, ray_tune: tuning } = config;

  const isPath = dataset.source !== "official" && dataset.source !== "synthetic";
  const { weights } = model;
  return [
    formatOverride("ray_tune.use_ray_tune", false),
    // Trials run beside each other, each in one process.
    formatOverride("distributed.use_distributed", false),
    formatOverride("training.checkpoint_dir", directory),
    formatOverride(
      "training.threads",
      training.threads > 0 ? training.threads : Math.max(1, Math.round(tuning.resources_per_trial.cpu)),
    ),
    formatOverride("mlflow.tracking_uri", trackingUri(config, resolve)),
    // The best one is kept with the sweep's run.
    formatOverride("mlflow.log_model", false),
    formatOverride("mlflow.register_model", false),
    // A trial may run in another working folder.
    formatOverride("dataset.data_dir", resolve(dataset.data_dir)),
    ...(isPath ? [formatOverride("dataset.source", resolve(dataset.source))] : []),
    formatOverride("model.weights_dir", resolve(model.weights_dir)),
    formatOverride("model.transfer.feature_dir", resolve(model.transfer.feature_dir)),
    ...(weights === null || weights === "imagenet" ? [] : [formatOverride("model.weights", resolve(weights))]),
    ...overridesOf(params),
  ];
}

/** Why a configuration can't have these values; undefined: it can. */
export function refusalOf(file: string, params: Params): string | undefined {
  try {
    loadConfig({ file, env: {}, overrides: overridesOf(params) });
    return undefined;
  } catch (error) {
    if (!isPipelineError(error)) throw error;
    return `${error.code}: ${statementOf(error)}`;
  }
}

/** The configuration with the best trial's values, to train with. */
export function tunedConfig(file: string, params: Params): Config {
  return loadConfig({ file, env: {}, overrides: [...overridesOf(params), "ray_tune.use_ray_tune=false"] }).config;
}

/** Beside the configuration that the sweep was started with. */
export function tunedConfigFile(configFile: string | undefined): string {
  return join(configFile === undefined ? "config" : dirname(configFile), "tuned_config.yaml");
}
