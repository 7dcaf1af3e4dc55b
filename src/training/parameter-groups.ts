import type { Model, Network } from "../models/model.ts";
import { decays, type ParameterSpec } from "../nn/parameter.ts";
import { muon } from "../optim/muon.ts";
import { combine, type Optimizer, type ParameterGroup } from "../optim/optimizer.ts";
import { linearToZero, type Schedule } from "../optim/schedules.ts";
import { sgd } from "../optim/sgd.ts";

const trainable = (model: Network): readonly ParameterSpec[] =>
  model.module.parameters.filter((parameter) => parameter.trainable);

const named = (parameters: readonly ParameterSpec[]): string[] => parameters.map(({ name }) => name);

export interface DecayGroupOptions {
  readonly learningRate: number;
  readonly weightDecay: number;
  readonly schedule: Schedule;
}

/** Two groups: filters and linear weights with decay, biases and norms without. */
export function decayGroups(model: Network, options: DecayGroupOptions): ParameterGroup[] {
  const parameters = trainable(model);
  const groups = [
    { ...options, name: "weights", parameters: named(parameters.filter(({ kind }) => decays(kind))) },
    {
      ...options,
      name: "biases",
      weightDecay: 0,
      parameters: named(parameters.filter(({ kind }) => !decays(kind))),
    },
  ];
  return groups.filter((group) => group.parameters.length > 0);
}

export interface LayerGroupOptions extends DecayGroupOptions {
  /** Factor on the learning rate from one stage to the one before it. */
  readonly layerDecay: number;
}

/**
 * Groups for fine-tuning: the head learns at the full rate, the last stage at that times `layerDecay`, the one before
 * at that times its square, and so on (discriminative fine-tuning, Howard and Ruder 2018). Biases and norms do not decay.
 */
export function layerGroups(
  model: Model,
  { layerDecay, learningRate, ...options }: LayerGroupOptions,
): ParameterGroup[] {
  const parts = [...model.stages, model.head].reverse();
  return parts.flatMap((module, depth) =>
    decayGroups({ ...model, module }, { ...options, learningRate: learningRate * layerDecay ** depth }).map(
      (group) => ({
        ...group,
        name: `${depth === 0 ? "head" : `stage${parts.length - 1 - depth}`}-${group.name}`,
      }),
    ),
  );
}

export interface AirbenchGroupOptions {
  /** Per 1024 examples, decoupled from the momentum. */
  readonly learningRate?: number;
  /** Per 1024 examples, decoupled from the learning rate. */
  readonly weightDecay?: number;
  readonly momentum?: number;
  /** Factor on the learning rate of batch norm's biases; their decay per step stays the same. */
  readonly biasScale?: number;
  readonly batchSize: number;
  readonly schedule: Schedule;
}

/**
 * SGD of airbench94: Nesterov momentum on the loss summed over the batch; learning rate and decay are given in units
 * that do not change with the momentum. Use with reduction "sum".
 */
export function airbenchSgd(model: Network, options: AirbenchGroupOptions): Optimizer {
  const { momentum = 0.85, biasScale = 64, batchSize, schedule } = options;
  const stepScale = 1024 * (1 + 1 / (1 - momentum));
  const learningRate = (options.learningRate ?? 11.5) / stepScale;
  const decay = ((options.weightDecay ?? 0.0153) * batchSize) / stepScale;
  const group = (name: string, rate: number, parameters: readonly ParameterSpec[]): ParameterGroup => ({
    name,
    learningRate: rate,
    weightDecay: decay / rate,
    schedule,
    parameters: named(parameters),
  });
  const isNorm = ({ kind }: ParameterSpec): boolean => kind === "normBias" || kind === "normScale";
  return sgd({
    momentum,
    groups: [
      group(
        "weights",
        learningRate,
        trainable(model).filter((parameter) => !isNorm(parameter)),
      ),
      group("normBiases", learningRate * biasScale, trainable(model).filter(isNorm)),
    ],
  });
}

export interface AirbenchMuonOptions {
  readonly batchSize: number;
  readonly totalSteps: number;
  /** Steps in which the bias of the whitening layer is trained. */
  readonly whiteningBiasSteps: number;
  readonly learningRate?: number;
  readonly momentum?: number;
  readonly newtonSchulzSteps?: number;
  readonly biasLearningRate?: number;
  readonly headLearningRate?: number;
  readonly sgdMomentum?: number;
  /** Per example. */
  readonly weightDecay?: number;
}

/** Optimisers of airbench94_muon: Muon for filters, Nesterov SGD for the rest, all falling to 0. Reduction "sum". */
export function airbenchMuon(model: Network, options: AirbenchMuonOptions): Optimizer {
  const { batchSize, totalSteps, learningRate = 0.24, momentum = 0.6, newtonSchulzSteps = 3 } = options;
  const { biasLearningRate = 0.053, headLearningRate = 0.67, sgdMomentum = 0.85 } = options;
  const decay = (options.weightDecay ?? 2e-6) * batchSize;
  const schedule = linearToZero(totalSteps);
  const early = new Set(model.freezeAfter?.parameters ?? []);
  const parameters = trainable(model);
  const filters = parameters.filter(({ kind }) => kind === "filter");
  const heads = parameters.filter(({ kind }) => kind === "linear");
  const biases = parameters.filter(({ kind, name }) => kind !== "filter" && kind !== "linear" && !early.has(name));
  const group = (name: string, rate: number, of: readonly ParameterSpec[], over: Schedule): ParameterGroup => ({
    name,
    learningRate: rate,
    weightDecay: decay / rate,
    schedule: over,
    parameters: named(of),
  });
  const rest = [
    group(
      "earlyBiases",
      biasLearningRate,
      parameters.filter(({ name }) => early.has(name)),
      linearToZero(options.whiteningBiasSteps),
    ),
    group("biases", biasLearningRate, biases, schedule),
    group("head", headLearningRate, heads, schedule),
  ];
  return combine(
    muon({
      momentum,
      newtonSchulzSteps,
      groups: [{ name: "filters", parameters: named(filters), learningRate, weightDecay: 0, schedule }],
    }),
    sgd({ momentum: sgdMomentum, groups: rest.filter((item) => item.parameters.length > 0) }),
  );
}
