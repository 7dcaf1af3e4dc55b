import { createHash } from "node:crypto";
import { PipelineError } from "../base/errors.ts";
import { defineGraph } from "../graph/graph.ts";
import { unchanging } from "../models/model.ts";
import type { Module } from "../nn/module.ts";
import { trace } from "../nn/trace.ts";
import type { Shape } from "../tensor/shape.ts";
import { floatData, type Named, type Tensor } from "../tensor/tensor.ts";
import { type ImagePreparation, prepareImages } from "./prepare-images.ts";
import type { ModelFormat } from "./validation.ts";

export interface FeatureExtractorOptions {
  /** Of the network, for the file. */
  readonly name: string;
  /** From normalised images to features. */
  readonly backbone: Module;
  readonly weights: Named<Tensor>;
  /** Size of the images that the backbone takes. */
  readonly input: { readonly height: number; readonly width: number };
  readonly preparation: ImagePreparation;
  readonly format: ModelFormat;
}

/** A frozen part of a network with its preprocessing, as an optimised inference model. */
export interface FeatureExtractor extends AsyncDisposable {
  /** SHA-256 of the model file: of weights, architecture, preprocessing and resampling. */
  readonly digest: string;
  /** Of the features of one image. */
  readonly shape: Shape;
  /** @param feeds "images" uint8 [N, 3, H, W] and, with augmentation, "augment/…" */
  run(feeds: Named<Tensor>): Promise<Float32Array>;
}

/**
 * Prepares images and runs the backbone in one graph: batch norm folded into the convolutions, no gradients, free
 * batch.
 */
export async function createFeatureExtractor(options: FeatureExtractorOptions): Promise<FeatureExtractor> {
  const { name, backbone, weights, input, preparation, format } = options;
  // Any batch above 1 will do: it becomes free in the file.
  const { inputs, x } = prepareImages({ ...preparation, batchSize: 2, target: input });
  const { output, parameters, buffers } = trace(backbone, x, "eval");
  const graph = defineGraph({
    name: `${name}-features`,
    inputs,
    variables: unchanging({ ...parameters, ...buffers }),
    outputs: { features: output },
  });
  const wanted = Object.keys(graph.variables);
  const given = Object.fromEntries(wanted.flatMap((key) => (weights[key] === undefined ? [] : [[key, weights[key]]])));
  const absent = wanted.find((key) => given[key] === undefined);
  if (absent !== undefined) throw new PipelineError("STATE_MISMATCH", `no value for ${absent} of ${name}`);
  const bytes = await format.exportModel(graph, given);
  const model = await format.loadModel(bytes);
  return {
    digest: createHash("sha256").update(bytes).digest("hex"),
    shape: output.shape.slice(1),
    async run(feeds) {
      const { features } = await model.run(feeds);
      return floatData(features!);
    },
    [Symbol.asyncDispose]: () => model[Symbol.asyncDispose](),
  };
}
