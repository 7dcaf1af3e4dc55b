import type { InferenceModel } from "../graph/executor.ts";
import type { Graph } from "../graph/graph.ts";
import { buildInferenceGraph, type Network } from "../models/model.ts";
import type { Named, Tensor } from "../tensor/tensor.ts";
import { classificationMetrics } from "./classification.ts";
import { type EvaluationSource, logitsOfSource } from "./evaluate.ts";
import { logitsTogether } from "./logits-together.ts";
import type { ClassificationMetrics } from "./metrics.ts";
import type { Peers } from "./peers.ts";

/** Makes and loads the very file that is served: a backend's, injected. */
export interface ModelFormat {
  exportModel(graph: Graph, weights: Named<Tensor>): Uint8Array | Promise<Uint8Array>;
  loadModel(bytes: Uint8Array): Promise<InferenceModel>;
}

export interface ValidationOptions {
  readonly format: ModelFormat;
  readonly source: EvaluationSource;
  readonly labels: Int32Array;
  readonly classes: readonly string[];
  readonly batchSize: number;
  /** Of the images, where they are not of the network's size. */
  readonly imageSize?: { readonly height: number; readonly width: number } | undefined;
}

interface ValidationRun {
  readonly signal?: AbortSignal | undefined;
  /** Each takes a part of the images. */
  readonly peers?: Peers | undefined;
}

/** Metrics of weights on a source, computed by the exported model. */
export async function validate(
  network: Network,
  weights: Named<Tensor>,
  options: ValidationOptions & ValidationRun,
): Promise<ClassificationMetrics> {
  const { format, source, labels, classes, batchSize, imageSize } = options;
  // The exported file takes any batch; a batch of 1 cannot be told from other dimensions of 1.
  const graph = buildInferenceGraph(network, { batch: Math.max(2, batchSize), images: imageSize });
  await using model = await format.loadModel(await format.exportModel(graph, weights));
  const run = { ...options, model };
  const logits =
    options.peers === undefined ? await logitsOfSource(source, run) : await logitsTogether(source, run, options.peers);
  return classificationMetrics(logits, labels, classes);
}
