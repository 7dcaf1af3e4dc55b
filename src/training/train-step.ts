import { gradients } from "../autodiff/grad.ts";
import { PipelineError } from "../base/errors.ts";
import * as g from "../graph/build.ts";
import { defineGraph, type Graph, type Variable } from "../graph/graph.ts";
import { autocast } from "../graph/passes/autocast.ts";
import type { Value } from "../graph/value.ts";
import type { Network } from "../models/model.ts";
import { correctCount, crossEntropy } from "../nn/losses.ts";
import type { NormStatistics } from "../nn/module.ts";
import { trace } from "../nn/trace.ts";
import { clipByGlobalNorm, globalNorm } from "../optim/clip.ts";
import { blendInto } from "../optim/ema.ts";
import { lookaheadUpdate } from "../optim/lookahead.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import { type Named, type Tensor, zeros } from "../tensor/tensor.ts";
import { nextInBatch } from "./augment-images.ts";
import { type ImagePreparation, type PreparedImages, prepareImages } from "./prepare-images.ts";

export interface StepOptions {
  readonly model: Network;
  readonly optimizer: Optimizer;
  /** Images in a step, or in each part of one. */
  readonly batchSize: number;
  /** Parts that a step is computed in, one after the other, to spare memory: their gradients are added up; default 1. */
  readonly accumulation?: number | undefined;
  /** How images are prepared; a network of features has none. */
  readonly images?: ImagePreparation | undefined;
  readonly labelSmoothing?: number;
  /** What is differentiated: the mean of the loss over the batch, or its sum. The loss put out is the mean. */
  readonly reduction?: "mean" | "sum";
  /** Largest global norm of the gradient. */
  readonly gradClipNorm?: number;
  /** "mixed": convolutions and matrix products in float16, on devices that have it; default "float32". */
  readonly precision?: "float32" | "mixed";
  /** Averages of the weights that are kept beside them. */
  readonly averages?: readonly WeightAverage[];
  /** What batch norm normalises by; default "batch". */
  readonly normStatistics?: NormStatistics;
  /** Parameters that are left alone, beside those that are never trained. */
  readonly frozen?: readonly string[];
  /** Processes that take this step together, each on `batchSize` images of its own; default 1. */
  readonly processes?: number;
}

/** "ema": variables ema/NAME, scalar ema/blend. "lookahead": variables lookahead/NAME, scalars lookahead/blend, /sync. */
export type WeightAverage = "ema" | "lookahead";

/**
 * The whole training step as one graph.
 *
 * Inputs: "images" uint8 [N, 3, H, W] (or "features"), "labels" int32 [N], "augment/…" where the images are
 * augmented, "uniforms/…" for dropout, and scalars: those of the optimiser and of the averages.
 * Variables: parameters, buffers, optimiser slots, averages. Outputs: "loss" (mean, with label smoothing), "correct"
 * (number of images), "gradientNorm" (before clipping).
 *
 * With several processes all outputs are those of their images together, and what they do to the variables is the same
 * in each; an input "stopping" (1 where a process is asked to stop) is summed to an output of that name.
 */
export function buildTrainStep(options: StepOptions): Graph {
  const { processes = 1, accumulation = 1, model } = options;
  const part = differentiate(options);
  const carried = accumulation === 1 ? {} : accumulators(part);
  const own = accumulation === 1 ? part : withAccumulated(part, carried);
  const sum = (value: Value): Value => (processes === 1 ? value : g.allReduce(value, "late"));
  const stopping = g.input("stopping", "float32", []);
  const gradients = Object.fromEntries(Object.entries(own.gradients).map(([name, value]) => [name, sum(value)]));
  const update = applyGradients(options, { ...own, gradients });
  const graph = defineGraph({
    name: `${model.name}-train-step`,
    inputs: [...own.inputs, ...update.scalars, ...(processes === 1 ? [] : [stopping])],
    variables: {
      ...update.variables,
      // The next step begins with nothing.
      ...Object.fromEntries(
        Object.values(carried).map(({ name, current, layoutLike }) => [
          name,
          { current, next: g.filled(current.shape, 0), ...(layoutLike === undefined ? {} : { layoutLike }) },
        ]),
      ),
    },
    outputs: {
      loss: sum(own.loss),
      correct: sum(own.correct),
      gradientNorm: update.gradientNorm,
      ...(processes === 1 ? {} : { stopping: sum(stopping) }),
    },
  });
  return inPrecision(graph, options);
}

/** Sums that wait for the last part of a step: zero before the first one, so that no checkpoint needs them. */
export const accumulatedPrefix = "accumulated/";

/**
 * A part of a step that is not its last: inputs as in the whole step without the scalars. It adds its gradients, its loss and
 * its count to the variables "accumulated/…", and brings the buffers on. The last part is `buildTrainStep`.
 */
export function buildAddStep(options: StepOptions): Graph {
  const part = differentiate(options);
  const variables: Record<string, Variable> = {};
  for (const [name, current] of Object.entries({ ...part.parameters, ...part.buffers }))
    variables[name] = { current, next: part.nextBuffers[name] ?? current };
  for (const { name, current, total, layoutLike } of Object.values(accumulators(part)))
    variables[name] = { current, next: total, ...(layoutLike === undefined ? {} : { layoutLike }) };
  const graph = defineGraph({
    name: `${options.model.name}-add-step`,
    inputs: part.inputs,
    variables,
    outputs: { loss: part.loss },
  });
  return inPrecision(graph, options);
}

interface Accumulator {
  /** Of the variable. */
  readonly name: string;
  readonly current: Value<"input">;
  /** With this part. */
  readonly total: Value;
  readonly layoutLike?: string;
}

/** By parameter; "#loss" and "#correct" for the figures. */
function accumulators({ gradients: own, loss, correct }: Part): Readonly<Record<string, Accumulator>> {
  const accumulate = (key: string, value: Value, layoutLike?: string): [string, Accumulator] => {
    const name = `${accumulatedPrefix}${key}`;
    const current = g.input(name, "float32", value.shape);
    return [key, { name, current, total: g.add(current, value), ...(layoutLike === undefined ? {} : { layoutLike }) }];
  };
  return Object.fromEntries([
    ...Object.entries(own).map(([name, value]) => accumulate(name, value, name)),
    accumulate("#loss", loss),
    accumulate("#correct", correct),
  ]);
}

function withAccumulated(part: Part, carried: Readonly<Record<string, Accumulator>>): Part {
  return {
    ...part,
    gradients: Object.fromEntries(Object.keys(part.gradients).map((name) => [name, carried[name]!.total])),
    loss: carried["#loss"]!.total,
    correct: carried["#correct"]!.total,
  };
}

/**
 * The first half of a step: inputs as in the whole step without the scalars; outputs "grad/NAME" of each trained
 * parameter, "buffer/NAME" (next values), "loss" and "correct". Parameters and buffers are variables that keep their
 * values: write the results of `buildApplyStep` into them.
 */
export function buildGradStep(options: StepOptions): Graph {
  const forward = differentiate(options);
  const graph = defineGraph({
    name: `${options.model.name}-grad-step`,
    inputs: forward.inputs,
    variables: Object.fromEntries(
      Object.entries({ ...forward.parameters, ...forward.buffers }).map(([name, current]) => [
        name,
        { current, next: current },
      ]),
    ),
    outputs: {
      loss: forward.loss,
      correct: forward.correct,
      ...prefixed("grad/", forward.gradients),
      ...prefixed("buffer/", forward.nextBuffers),
    },
  });
  return inPrecision(graph, options);
}

/** The second half: inputs "grad/NAME", "buffer/NAME" and the scalars; the variables of the whole step. */
export function buildApplyStep(options: StepOptions): Graph {
  const { parameters: specs, buffers: bufferSpecs } = options.model.module;
  const inputsOf = (prefix: string, of: readonly { name: string; shape: readonly number[] }[]) =>
    Object.fromEntries(of.map(({ name, shape }) => [name, g.input(`${prefix}${name}`, "float32", shape)]));
  const trained = new Set(trainedParameters(options));
  const gradientInputs = inputsOf(
    "grad/",
    specs.filter(({ name }) => trained.has(name)),
  );
  const nextBuffers = inputsOf("buffer/", bufferSpecs);
  const update = applyGradients(options, {
    parameters: inputsOf("", specs),
    buffers: inputsOf("", bufferSpecs),
    gradients: gradientInputs,
    nextBuffers,
  });
  const graph = defineGraph({
    name: `${options.model.name}-apply-step`,
    inputs: [...Object.values(gradientInputs), ...Object.values(nextBuffers), ...update.scalars],
    variables: update.variables,
    outputs: { gradientNorm: update.gradientNorm },
  });
  return inPrecision(graph, options);
}

/** The one policy for the whole step and its halves: what may not lose digits says so itself. */
function inPrecision(graph: Graph, { precision = "float32" }: StepOptions): Graph {
  return precision === "mixed" ? autocast(graph) : graph;
}

/** All variables of the step before the first one: `weights` (parameters and buffers), empty slots, averages. */
export function initialState(options: StepOptions, weights: Named<Tensor>): Record<string, Tensor> {
  const { parameters, buffers } = options.model.module;
  const state: Record<string, Tensor> = {};
  for (const { name } of [...parameters, ...buffers]) {
    const value = weights[name];
    if (value === undefined) throw new PipelineError("STATE_MISMATCH", `no value for ${name} of ${options.model.name}`);
    state[name] = value;
    for (const average of options.averages ?? []) state[`${average}/${name}`] = value;
  }
  const shapes = new Map(parameters.map(({ name, shape }) => [name, shape]));
  for (const { name, parameter } of options.optimizer.slots) {
    state[name] = zeros("float32", shapes.get(parameter) ?? []);
  }
  return state;
}

/** Parameters that get gradients. */
export function trainedParameters({ model, frozen = [] }: StepOptions): string[] {
  return model.module.parameters
    .filter((spec) => spec.trainable && !frozen.includes(spec.name))
    .map(({ name }) => name);
}

/**
 * Keeps small gradients above the smallest float16 number (Micikevicius et al. 2018): 1024 times those of the mean loss,
 * whichever is differentiated, as a power of two, which is exact.
 */
function lossScaleOf({ precision, reduction = "mean", batchSize }: StepOptions): number {
  if (precision !== "mixed") return 1;
  return 2 ** (10 - (reduction === "sum" ? Math.round(Math.log2(batchSize)) : 0));
}

interface Differentiated {
  readonly parameters: Named<Value<"input">>;
  readonly buffers: Named<Value<"input">>;
  readonly nextBuffers: Named<Value>;
  readonly gradients: Named<Value>;
}

/** Forward and backward of the images that are computed together. */
interface Part extends Differentiated {
  readonly inputs: readonly Value<"input">[];
  readonly loss: Value;
  readonly correct: Value;
}

function differentiate(options: StepOptions): Part {
  const { model, batchSize, labelSmoothing = 0, reduction = "mean", processes = 1, accumulation = 1 } = options;
  const parts = processes * accumulation;
  const labels = g.input("labels", "int32", [batchSize]);
  const { inputs, x, mixShare } = networkInput(options);
  const {
    output: logits,
    parameters,
    buffers,
    nextBuffers,
    uniforms,
  } = trace(model.module, x, "train", options.normStatistics);
  const mixed = mixShare === undefined ? undefined : { labels: nextInBatch(labels), share: mixShare };
  const ownLoss = crossEntropy(logits, labels, { labelSmoothing, reduction, mixed });
  // This part's share of the mean over all.
  const loss = reduction === "sum" || parts === 1 ? ownLoss : g.scale(ownLoss, 1 / parts);
  const trained = trainedParameters(options);
  const lossScale = lossScaleOf(options);
  const scaledGradients = gradients(
    lossScale === 1 ? loss : g.scale(loss, lossScale),
    trained.map((name) => parameters[name]!),
  );
  const cotangents =
    lossScale === 1 ? scaledGradients : scaledGradients.map((cotangent) => g.scale(cotangent, 1 / lossScale));
  return {
    inputs: [...inputs, labels, ...uniforms],
    parameters,
    buffers,
    nextBuffers,
    gradients: Object.fromEntries(trained.map((name, i) => [name, cotangents[i]!])),
    loss: reduction === "sum" ? g.scale(loss, 1 / (batchSize * parts)) : loss,
    correct: correctCount(logits, labels),
  };
}

/** What the network gets, and the inputs of the graph that it is made of. */
function networkInput({ model, batchSize, images }: StepOptions): PreparedImages {
  if (model.input.name === "features") {
    const features = g.input("features", "float32", [batchSize, ...model.input.shape]);
    return { inputs: [features], x: features };
  }
  if (images === undefined) {
    throw new PipelineError("INVALID_ARGUMENT", `${model.name} is trained on images: say how to prepare them`, {
      remedy: "give mean and std in `images` of the training step",
    });
  }
  return prepareImages({ ...images, batchSize, target: model.input });
}

interface Update {
  readonly scalars: readonly Value<"input">[];
  readonly variables: Named<Variable>;
  readonly gradientNorm: Value;
}

/** Clipping, the optimiser's update and the averages. */
function applyGradients(options: StepOptions, at: Differentiated): Update {
  const { optimizer, gradClipNorm, averages = [] } = options;
  checkCovered(options);
  const gradientNorm = globalNorm(at.gradients);
  const clipped =
    gradClipNorm === undefined ? at.gradients : clipByGlobalNorm(at.gradients, gradientNorm, gradClipNorm);
  const scalarNames = [
    ...optimizer.scalars,
    ...(averages.includes("lookahead") ? ["lookahead/blend", "lookahead/sync"] : []),
    ...(averages.includes("ema") ? ["ema/blend"] : []),
  ];
  const scalars = Object.fromEntries(scalarNames.map((name) => [name, g.input(name, "float32", [])]));
  const slots = Object.fromEntries(
    optimizer.slots.map(({ name, parameter }) => [name, g.input(name, "float32", at.parameters[parameter]!.shape)]),
  );
  const updated = optimizer.update({ parameters: at.parameters, gradients: clipped, slots, scalars });
  const variables: Record<string, Variable> = {};
  for (const [name, current] of Object.entries({ ...at.parameters, ...at.buffers })) {
    let next = updated.parameters[name] ?? at.nextBuffers[name] ?? current;
    if (averages.includes("lookahead")) {
      const slow = g.input(`lookahead/${name}`, "float32", current.shape);
      const result = lookaheadUpdate(slow, next, scalars["lookahead/blend"]!, scalars["lookahead/sync"]!);
      variables[`lookahead/${name}`] = { current: slow, next: result.slow, layoutLike: name };
      next = result.fast;
    }
    if (averages.includes("ema")) {
      const average = g.input(`ema/${name}`, "float32", current.shape);
      const blended = blendInto(average, next, scalars["ema/blend"]!);
      variables[`ema/${name}`] = { current: average, next: blended, layoutLike: name };
    }
    variables[name] = { current, next };
  }
  for (const { name, parameter } of optimizer.slots) {
    variables[name] = { current: slots[name]!, next: updated.slots[name]!, layoutLike: parameter };
  }
  return { scalars: Object.values(scalars), variables, gradientNorm };
}

function checkCovered(options: StepOptions): void {
  const covered = new Set(options.optimizer.parameters);
  const known = new Set(options.model.module.parameters.map(({ name }) => name));
  const forgotten = trainedParameters(options).filter((name) => !covered.has(name));
  const foreign = options.optimizer.parameters.filter((name) => !known.has(name));
  if (forgotten.length > 0 || foreign.length > 0) {
    throw new PipelineError(
      "INVALID_ARGUMENT",
      `the optimiser's groups do not fit ${options.model.name}: without a group [${forgotten}], unknown [${foreign}]`,
    );
  }
}

function prefixed(prefix: string, values: Named<Value>): Record<string, Value> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [`${prefix}${name}`, value]));
}
