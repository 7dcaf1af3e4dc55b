import { input, transpose } from "../../graph/build.ts";
import { defineGraph, type Graph } from "../../graph/graph.ts";
import type { Value } from "../../graph/value.ts";
import { floats, type Named, type Tensor } from "../../tensor/tensor.ts";
import { classifierEnd } from "./read/classifier-end.ts";
import { damagedModel, shown, unsupportedModel } from "./read/errors.ts";
import { evaluateNodes } from "./read/evaluate-nodes.ts";
import { isValue } from "./read/item.ts";
import { knownOf, toTensor } from "./read/known.ts";
import {
  checkSoftmax,
  chosenOutput,
  classLogits,
  imageInput,
  imageSize,
  neededNodes,
  type OnnxInput,
} from "./read/model-ends.ts";
import { type OnnxFile, parseOnnxFile } from "./read/onnx-file.ts";
import { type Weight, weightsOf } from "./read/weight-names.ts";

export interface OnnxWeight extends Weight {
  readonly tensor: Tensor<"float32">;
}

/** A classifier of images in an ONNX file, as a function on values of the graph. */
export interface OnnxModel {
  readonly name: string;
  readonly input: OnnxInput;
  readonly outputName: string;
  /** "softmax": the file ends in probabilities; the softmax is left out of what is built. */
  readonly ending: "logits" | "softmax";
  /** Weights of its layers by name, running statistics among them. */
  readonly weights: Named<OnnxWeight>;
  /**
   * Logits [N, classes] of normalised images [N, 3, height, width].
   * @throws MODEL_UNSUPPORTED naming every operator that the closed set lacks; MODEL_DAMAGED
   */
  build(images: Value, weight: (name: string) => Value): Value;
  /** All of it but the linear layer that gives the logits; undefined where the file does not end in one. */
  trunk(): OnnxTrunk | undefined;
}

/** A file without its classifier: what another classifier is trained on. */
export interface OnnxTrunk {
  readonly weights: Named<OnnxWeight>;
  /** [classes, features], and [classes]. */
  readonly classifier: { readonly weight: Tensor<"float32">; readonly bias: Tensor<"float32"> | undefined };
  /**
   * Maps [N, features, h, w] that the classifier averages, or features [N, features].
   * @throws as OnnxModel.build
   */
  build(images: Value, weight: (name: string) => Value): Value;
}

export interface OpenModelOptions {
  /** Which output is meant, where the file has several. */
  readonly output?: string | undefined;
}

/**
 * Opens an ONNX file of one input of images and standard operators, opset 7 to 22.
 * @throws MODEL_DAMAGED; MODEL_UNSUPPORTED
 */
export function openModel(bytes: Uint8Array, { output }: OpenModelOptions = {}): OnnxModel {
  const file = parseOnnxFile(bytes);
  const given = imageInput(file);
  const outputName = chosenOutput(file, output);
  const last = file.nodes.find((node) => node.output.includes(outputName));
  const softmax = last?.opType === "Softmax" && last.domain === "" ? last : undefined;
  const target = softmax === undefined ? outputName : softmax.input[0]!;
  const { weights, build } = partOf(file, given, target);
  return {
    name: file.name,
    input: given,
    outputName,
    ending: softmax === undefined ? "logits" : "softmax",
    weights,
    build(images, weight) {
      const value = build(images, weight);
      if (softmax !== undefined) checkSoftmax(softmax, value);
      return classLogits(value, images.shape[0]!);
    },
    trunk: () => trunkOf(file, given, target),
  };
}

/** What of a file leads to one of its values. */
function partOf(file: OnnxFile, given: OnnxInput, target: string): Pick<OnnxModel, "weights" | "build"> {
  const nodes = neededNodes(file, target);
  const weights = Object.fromEntries(
    [...weightsOf({ nodes, tensors: file.tensors }).values()].map((weight): [string, OnnxWeight] => [
      weight.name,
      { ...weight, tensor: floatTensor(file, weight.name) },
    ]),
  );
  return {
    weights,
    build(images, weight) {
      const x = given.layout === "NCHW" ? images : transpose(images, [0, 2, 3, 1]);
      const values = new Map([[given.name, x]]);
      for (const name of Object.keys(weights)) values.set(name, weight(name));
      const batch = { file: given.batch, graph: images.shape[0]! };
      const item = evaluateNodes({ file, nodes, batch, given: values, images: x })(target);
      if (!isValue(item)) throw damagedModel(`the output ${shown(target)} does not depend on the images`);
      return item;
    },
  };
}

function trunkOf(file: OnnxFile, given: OnnxInput, logits: string): OnnxTrunk | undefined {
  const end = classifierEnd(file, logits);
  if (end === undefined) return undefined;
  const weight = floatTensor(file, end.weight);
  const bias = end.bias === undefined ? undefined : floatTensor(file, end.bias);
  const { scale } = end;
  const { weights, build } = partOf(file, given, end.features);
  return {
    weights,
    build(images, weightOf) {
      const features = build(images, weightOf);
      const [, , height = 1, width = 1] = features.shape;
      if (scale === undefined || Math.abs(height * width * scale - 1) < 1e-6) return features;
      throw unsupportedModel(`its classifier gets ${scale} of the sum over ${height} x ${width}`, "average the maps");
    },
    classifier: { weight: end.isOutFirst ? weight : transposed(weight), bias },
  };
}

function floatTensor({ tensors }: OnnxFile, name: string): Tensor<"float32"> {
  const known = knownOf(tensors.get(name)!, name);
  if (known.kind !== "float") throw damagedModel(`the weight ${shown(name)} holds whole numbers`);
  return toTensor(known);
}

function transposed({ shape, data }: Tensor<"float32">): Tensor<"float32"> {
  const [rows, columns] = shape as [number, number];
  const values = Float32Array.from(data, (_, i) => data[(i % rows) * columns + Math.floor(i / rows)]!);
  return floats([columns, rows], values);
}

export interface ReadModelOptions extends OpenModelOptions {
  readonly batch: number;
  /** Size of the images, where the file leaves it free. */
  readonly height?: number | undefined;
  readonly width?: number | undefined;
}

export interface ReadModel extends Omit<OnnxModel, "build" | "weights" | "trunk"> {
  /** Input "images", output "logits"; the weights are variables that keep their values. */
  readonly graph: Graph;
  readonly weights: Named<Tensor<"float32">>;
  readonly height: number;
  readonly width: number;
  readonly classes: number;
}

/**
 * An ONNX file as a graph for one size of batch.
 * @throws MODEL_DAMAGED, MODEL_UNSUPPORTED; INVALID_ARGUMENT where the size of the images is missing or another one
 */
export function readModel(bytes: Uint8Array, options: ReadModelOptions): ReadModel {
  const { build, weights, trunk: _, ...model } = openModel(bytes, options);
  const { height, width } = imageSize(model.input, options);
  const images = input("images", "float32", [options.batch, 3, height, width]);
  const values = new Map(
    Object.values(weights).map(({ name, tensor }) => [name, input(name, "float32", tensor.shape)] as const),
  );
  const logits = build(images, (name) => values.get(name)!);
  const graph = defineGraph({
    name: model.name,
    inputs: [images],
    variables: Object.fromEntries([...values].map(([name, current]) => [name, { current, next: current }])),
    outputs: { logits },
  });
  const tensors = Object.fromEntries(Object.values(weights).map(({ name, tensor }) => [name, tensor]));
  return { ...model, graph, weights: tensors, height, width, classes: logits.shape[1]! };
}
