import type { InferenceModel } from "../graph/executor.ts";
import type { Graph } from "../graph/graph.ts";
import { buildInferenceGraph, type Model } from "../models/model.ts";
import type { Named, Tensor } from "../tensor/tensor.ts";
import { classificationMetrics } from "./classification.ts";
import { type EvaluateOptions, type EvaluationImages, logitsOf, type TestTimeAugmentation } from "./evaluate.ts";
import type { ClassificationMetrics } from "./metrics.ts";

/** Makes and loads the very file that is served: a backend's, injected. */
export interface ModelFormat {
  exportModel(graph: Graph, weights: Named<Tensor>): Uint8Array | Promise<Uint8Array>;
  loadModel(bytes: Uint8Array): Promise<InferenceModel>;
}

export interface ValidationOptions {
  readonly format: ModelFormat;
  readonly split: EvaluationImages & { readonly labels: Int32Array };
  readonly classes: readonly string[];
  readonly normalise: EvaluateOptions["normalise"];
  readonly batchSize: number;
  readonly tta?: TestTimeAugmentation;
}

/** Metrics of weights on a split, computed by the exported model. */
export async function validate(
  model: Model,
  weights: Named<Tensor>,
  options: ValidationOptions & { readonly signal?: AbortSignal | undefined },
): Promise<ClassificationMetrics> {
  const { format, split, classes, batchSize } = options;
  // The exported file takes any batch; a batch of 1 cannot be told from other dimensions of 1.
  const bytes = await format.exportModel(buildInferenceGraph(model, { batch: Math.max(2, batchSize) }), weights);
  await using loaded = await format.loadModel(bytes);
  const logits = await logitsOf({ ...options, model: loaded });
  return classificationMetrics(logits, split.labels, classes);
}
