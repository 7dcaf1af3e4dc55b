import { PipelineError } from "../base/errors.ts";
import type { Rng } from "../base/rng.ts";
import { input, resize } from "../graph/build.ts";
import { defineGraph, type Graph, type Variable } from "../graph/graph.ts";
import type { Value } from "../graph/value.ts";
import { type Module, sequential } from "../nn/module.ts";
import { initialValues } from "../nn/parameter.ts";
import { trace } from "../nn/trace.ts";
import { type Shape, sizeOf } from "../tensor/shape.ts";
import type { Named, Tensor } from "../tensor/tensor.ts";

/** What can be trained and run: `module` computes logits [N, classes] from the one input. */
export interface Network {
  readonly name: string;
  readonly module: Module;
  readonly input: NetworkInput;
  /** Parameters whose first values come from the training images. */
  readonly dataInit?: DataInit;
  /** Parameters that are trained only at the beginning. */
  readonly freezeAfter?: { readonly epochs: number; readonly parameters: readonly string[] };
}

/** Float32 images [N, 3, height, width], normalised, or features [N, ...shape] that a frozen part has computed. */
export type NetworkInput =
  | { readonly name: "images"; readonly height: number; readonly width: number }
  | { readonly name: "features"; readonly shape: Shape };

/** A classifier of images: the stages one after the other, then the head. */
export interface Model extends Network, ModelParts {
  readonly input: Extract<NetworkInput, { readonly name: "images" }>;
}

export interface ModelParts {
  readonly name: string;
  readonly family: string;
  readonly classes: number;
  readonly height: number;
  readonly width: number;
  /** From images to feature maps [N, featureChannels, h, w]: the parts that are frozen and thawed as wholes. */
  readonly stages: readonly Module[];
  readonly featureChannels: number;
  /** From the last feature maps to logits. */
  readonly head: Module;
  /** Of the linear layer that gives the logits: it alone depends on the number of classes. */
  readonly classifier: string;
  readonly dataInit?: DataInit;
  readonly freezeAfter?: { readonly epochs: number; readonly parameters: readonly string[] };
}

/** The model that has these parts. */
export function assemble(parts: ModelParts): Model {
  const { stages, head, height, width } = parts;
  return { ...parts, module: sequential(...stages, head), input: { name: "images", height, width } };
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
export function parameterCount({ module }: Pick<Network, "module">): number {
  return module.parameters.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}

/** First values of all parameters and buffers; `sample` (normalised images) serves the model's `dataInit`. */
export function initialWeights(
  model: Network,
  rng: Rng,
  sample?: Tensor<"float32">,
): Record<string, Tensor<"float32">> {
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

export interface InferenceGraphOptions {
  readonly batch: number;
  /** Size of the images that it will get, where it is not the network's: they are resized inside, bilinearly. */
  readonly images?: { readonly height: number; readonly width: number } | undefined;
}

/**
 * The network as it is served: input "images" float32 [batch, 3, height, width], normalised (or "features"); output
 * "logits" [batch, classes]; batch norm with its running statistics, no dropout. Parameters and buffers are variables
 * that keep their values.
 */
export function buildInferenceGraph(network: Network, options: InferenceGraphOptions): Graph {
  const { module, name } = network;
  const { given, x } = inferenceInput(network.input, options);
  const { output, parameters, buffers } = trace(module, x, "eval");
  return defineGraph({
    name: `${name}-inference`,
    inputs: [given],
    variables: unchanging({ ...parameters, ...buffers }),
    outputs: { logits: output },
  });
}

function inferenceInput(of: NetworkInput, options: InferenceGraphOptions): { given: Value<"input">; x: Value } {
  const { batch } = options;
  if (of.name === "features") {
    const given = input("features", "float32", [batch, ...of.shape]);
    return { given, x: given };
  }
  const { height, width } = options.images ?? of;
  const given = input("images", "float32", [batch, 3, height, width]);
  return { given, x: height === of.height && width === of.width ? given : resize(given, of.height, of.width) };
}

/** Variables that keep their values. */
export function unchanging(values: Named<Value<"input">>): Record<string, Variable> {
  return Object.fromEntries(Object.entries(values).map(([name, current]) => [name, { current, next: current }]));
}
