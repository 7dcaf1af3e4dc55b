import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { foldWeights } from "../backends/onnx/fold-weights.ts";
import { readModel } from "../backends/onnx/read-model.ts";
import { isMissing } from "../base/durable.ts";
import { isPipelineError, PipelineError } from "../base/errors.ts";
import type { Config } from "../config/schema.ts";
import type { InferenceModel } from "../graph/executor.ts";
import type { Graph } from "../graph/graph.ts";
import { type Bundle, weightsFile } from "../inference/bundle.ts";
import { buildInferenceGraph } from "../models/model.ts";
import { readSafetensors } from "../tensor/safetensors.ts";
import { floatData, type Named, type Tensor } from "../tensor/tensor.ts";
import { servedModel } from "./configured-model.ts";

/** Of the largest logit: what kernels of another shape may change. */
const tolerance = 1e-3;

/**
 * The network of a bundle with its weights as constants, made anew of the configuration and the weights of its training.
 * @throws INVALID_ARGUMENT when the bundle has no weights; BUNDLE_DAMAGED when they are damaged or of another network
 */
export async function bundleNetwork({ directory, metadata, modelPath }: Bundle, config: Config): Promise<Graph> {
  if (config.model.name === "imported") {
    const { graph, weights } = readModel(await readFile(modelPath), { batch: 2 });
    return foldWeights(graph, weights);
  }
  const { img_size: size } = config.dataset;
  const model = servedModel(config, { classes: metadata.classes.length, height: size, width: size });
  const path = join(directory, weightsFile);
  try {
    const { tensors } = await readSafetensors(path);
    // Any batch above 1 will do: it becomes free in the file.
    const graph = buildInferenceGraph(model, { batch: 2, images: metadata.preprocessing });
    requireAll(graph, tensors);
    return await foldWeights(graph, tensors);
  } catch (error) {
    if (isMissing(error)) throw withoutWeights(metadata.name, path, error);
    if (!isPipelineError(error)) throw error;
    throw damagedWeights(path, error.message, error);
  }
}

/** @throws BUNDLE_DAMAGED unless both give the same logits: then the weights are those of model.onnx */
export async function requireSameLogits(
  { directory }: Bundle,
  models: readonly [InferenceModel, InferenceModel],
  images: Tensor<"float32">,
): Promise<void> {
  const [expected, actual] = await Promise.all(models.map((model) => model.run({ images })));
  const [a, b] = [floatData(expected!.logits!), floatData(actual!.logits!)];
  const largest = a.reduce((most, x) => Math.max(most, Math.abs(x)), 1);
  const distance = a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);
  if (distance <= tolerance * largest) return;
  throw damagedWeights(
    join(directory, weightsFile),
    `its weights give other logits than model.onnx, by up to ${distance.toPrecision(3)} of ${largest.toPrecision(3)}`,
  );
}

function requireAll({ variables }: Graph, tensors: Named<Tensor>): void {
  const missing = Object.keys(variables).filter((name) => tensors[name] === undefined);
  if (missing.length > 0) {
    throw new PipelineError("WEIGHTS_MISMATCH", `there is no ${missing.slice(0, 5).join(", ")}`);
  }
}

function withoutWeights(name: string, path: string, cause: unknown): PipelineError {
  return new PipelineError("INVALID_ARGUMENT", `${name} has no weights to quantise: there is no ${path}`, {
    remedy: "take a bundle that was trained here, with its weights beside model.onnx",
    details: { path },
    cause,
  });
}

function damagedWeights(path: string, reason: string, cause?: unknown): PipelineError {
  return new PipelineError("BUNDLE_DAMAGED", `model bundle file ${path} is damaged: ${reason}`, {
    remedy: "restore the bundle from a backup, or train again",
    details: { path },
    cause,
  });
}
