import type { Config } from "../config/schema.ts";
import type { Model, Network } from "../models/model.ts";
import type { ParameterSpec } from "../nn/parameter.ts";
import { adamw } from "../optim/adamw.ts";
import { muon } from "../optim/muon.ts";
import { combine, type Optimizer, type ParameterGroup } from "../optim/optimizer.ts";
import {
  constantSchedule,
  cosineSchedule,
  linearToZero,
  oneCycleSchedule,
  type Schedule,
  stepSchedule,
  triangleSchedule,
  withWarmup,
} from "../optim/schedules.ts";
import { sgd } from "../optim/sgd.ts";
import { decayGroups, layerGroups } from "../training/parameter-groups.ts";

export interface Extent {
  readonly epochs: number;
  readonly stepsPerEpoch: number;
}

/** Factor on the peak learning rate at each step of a training. */
export function configuredSchedule({ training }: Config, { epochs, stepsPerEpoch }: Extent): Schedule {
  const { initial_lr_fraction: initial, final_lr_fraction: final } = training;
  const totalSteps = Math.ceil(epochs * stepsPerEpoch);
  const warmupSteps = Math.min(totalSteps, Math.round(training.warmup_epochs * stepsPerEpoch));
  const warm = (after: Schedule): Schedule =>
    warmupSteps === 0 ? after : withWarmup(after, { steps: warmupSteps, initial });
  switch (training.scheduler) {
    case "none":
      return warm(constantSchedule);
    case "step":
      return warm(stepSchedule({ everySteps: training.step_size * stepsPerEpoch, gamma: training.gamma }));
    case "cosine":
      return warm(cosineSchedule({ totalSteps: Math.max(1, totalSteps - warmupSteps), final }));
    case "onecycle":
      return oneCycleSchedule({ totalSteps, rise: warmupSteps / totalSteps, initial, final });
    case "triangle":
      return triangleSchedule({ totalSteps, rise: warmupSteps / totalSteps, initial, final });
    default:
      return training.scheduler satisfies never;
  }
}

interface OptimizedParts {
  readonly model: Model;
  /** What is trained of it. */
  readonly network: Network;
}

/** The optimiser of the mean loss over a batch. */
export function configuredOptimizer(config: Config, { model, network }: OptimizedParts, extent: Extent): Optimizer {
  const { optimizer, momentum, learning_rate: learningRate, weight_decay: weightDecay } = config.training;
  const schedule = configuredSchedule(config, extent);
  const { layer_lr_decay: layerDecay } = config.model.transfer;
  const groups =
    layerDecay === 1
      ? decayGroups(network, { learningRate, weightDecay, schedule })
      : layerGroups(model, { learningRate, weightDecay, schedule, layerDecay });
  switch (optimizer) {
    case "adamw":
      return adamw({ groups });
    case "sgd":
      return sgd({
        momentum,
        groups: network === model && model.family === "airbench" ? airbenchGroups(config, model, schedule) : groups,
      });
    case "muon":
      return muonAndSgd(config, model, { ...extent, schedule });
    default:
      return optimizer satisfies never;
  }
}

/** Norms learn faster by bias_lr_scale, and everything decays by the same share at each step (airbench94). */
function airbenchGroups({ model: options, training }: Config, model: Model, schedule: Schedule): ParameterGroup[] {
  const { learning_rate: learningRate, weight_decay: weightDecay } = training;
  const scale = options.airbench.bias_lr_scale;
  const isNorm = ({ kind }: ParameterSpec): boolean => kind === "normBias" || kind === "normScale";
  return [
    group(
      "weights",
      choose(model, (spec) => !isNorm(spec)),
      { learningRate, weightDecay, schedule },
    ),
    group("norms", choose(model, isNorm), {
      learningRate: learningRate * scale,
      weightDecay: weightDecay / scale,
      schedule,
    }),
  ].filter(({ parameters }) => parameters.length > 0);
}

/** Muon for filters, SGD with Nesterov momentum for head and biases (airbench94_muon). */
function muonAndSgd(
  { training }: Config,
  model: Model,
  { schedule, stepsPerEpoch }: Extent & { readonly schedule: Schedule },
): Optimizer {
  const { learning_rate: learningRate, weight_decay: weightDecay, momentum, muon: options } = training;
  const early = new Set(model.freezeAfter?.parameters ?? []);
  const earlySteps = Math.round((model.freezeAfter?.epochs ?? 0) * stepsPerEpoch);
  const isMatrix = ({ kind }: ParameterSpec): boolean => kind === "filter" || kind === "linear";
  const bias = { learningRate: options.bias_learning_rate, weightDecay };
  const rest = [
    group(
      "earlyBiases",
      choose(model, ({ name }) => early.has(name)),
      { ...bias, schedule: linearToZero(earlySteps) },
    ),
    group(
      "biases",
      choose(model, (spec) => !isMatrix(spec) && !early.has(spec.name)),
      { ...bias, schedule },
    ),
    group(
      "head",
      choose(model, ({ kind }) => kind === "linear"),
      {
        learningRate: options.head_learning_rate,
        weightDecay,
        schedule,
      },
    ),
  ].filter(({ parameters }) => parameters.length > 0);
  const filters = choose(model, ({ kind }) => kind === "filter");
  return combine(
    muon({
      momentum,
      newtonSchulzSteps: options.newton_schulz_steps,
      // Muon resets the norm of each filter bank: decay would change nothing.
      groups: [group("filters", filters, { learningRate, weightDecay: 0, schedule })],
    }),
    sgd({ momentum: options.sgd_momentum, groups: rest }),
  );
}

function choose(model: Model, wanted: (spec: ParameterSpec) => boolean): readonly string[] {
  return model.module.parameters.filter((spec) => spec.trainable && wanted(spec)).map(({ name }) => name);
}

function group(
  name: string,
  parameters: readonly string[],
  rates: Pick<ParameterGroup, "learningRate" | "weightDecay" | "schedule">,
): ParameterGroup {
  return { name, parameters, ...rates };
}
