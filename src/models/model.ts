import { PipelineError } from "../base/errors.ts";
import type { Rng } from "../base/rng.ts";
import { input } from "../graph/build.ts";
import { defineGraph, type Graph } from "../graph/graph.ts";
import type { Module } from "../nn/module.ts";
import { initialValues } from "../nn/parameter.ts";
import { trace } from "../nn/trace.ts";
import { sizeOf } from "../tensor/shape.ts";
import type { Named, Tensor } from "../tensor/tensor.ts";

/** A classifier of float32 images [N, 3, height, width], normalised: `module` computes logits [N, classes]. */
export interface Model {
  readonly name: string;
  readonly family: string;
  readonly classes: number;
  readonly height: number;
  readonly width: number;
  readonly module: Module;
  /** Parameters whose first values come from the training images. */
  readonly dataInit?: DataInit;
  /** Parameters that are trained only at the beginning. */
  readonly freezeAfter?: { readonly epochs: number; readonly parameters: readonly string[] };
}

export interface DataInit {
  /** How many training images are wanted; fewer will do. */
  readonly sampleCount: number;
  /** From normalised images [N, 3, height, width] to parameters by name. */
  compute(images: Tensor<"float32">): Named<Tensor<"float32">>;
}

export interface ModelFactory<Options extends ModelOptions = ModelOptions> {
  readonly name: string;
  readonly family: string;
  /** Height and width that the network is meant for. */
  readonly inputSize: number;
  build(options: Options): Model;
}

export interface ModelOptions {
  readonly classes: number;
  /** Of the input images; default: the factory's inputSize. */
  readonly height?: number;
  readonly width?: number;
}

/** Number of trained and frozen parameters, running statistics not counted. */
export function parameterCount(model: Model): number {
  return model.module.parameters.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}

/** First values of all parameters and buffers; `sample` (normalised images) serves the model's `dataInit`. */
export function initialWeights(model: Model, rng: Rng, sample?: Tensor<"float32">): Record<string, Tensor<"float32">> {
  const values = initialValues([...model.module.parameters, ...model.module.buffers], rng);
  if (model.dataInit === undefined) return values;
  if (sample === undefined) {
    throw new PipelineError("INVALID_ARGUMENT", `${model.name}: its first layer is computed from training images`, {
      remedy: "pass normalised training images",
    });
  }
  return { ...values, ...model.dataInit.compute(sample) };
}

/** A channel count times a factor, at least 1. */
export function scaledWidth(channels: number, factor: number): number {
  return Math.max(1, Math.round(channels * factor));
}

/**
 * The network as it is served: input "images" float32 [batch, 3, height, width], normalised; output "logits"
 * [batch, classes]; batch norm with its running statistics, no dropout. Parameters and buffers are variables that
 * keep their values.
 */
export function buildInferenceGraph(model: Model, { batch }: { readonly batch: number }): Graph {
  const images = input("images", "float32", [batch, 3, model.height, model.width]);
  const { output, parameters, buffers } = trace(model.module, images, "eval");
  return defineGraph({
    name: `${model.name}-inference`,
    inputs: [images],
    variables: Object.fromEntries(
      Object.entries({ ...parameters, ...buffers }).map(([name, current]) => [name, { current, next: current }]),
    ),
    outputs: { logits: output },
  });
}
