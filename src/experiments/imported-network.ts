import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { openModel } from "../backends/onnx/read-model.ts";
import { PipelineError } from "../base/errors.ts";
import type { Config } from "../config/schema.ts";
import { importedModel, trunkPrefix } from "../models/imported.ts";
import type { Model } from "../models/model.ts";
import { floats, type Named, type Tensor } from "../tensor/tensor.ts";
import type { ConfiguredWeights } from "./configured-weights.ts";

export interface ImportedNetwork {
  readonly model: Model;
  readonly weights: Pick<ConfiguredWeights, "weights" | "replaced" | "digest">;
}

interface InputShape {
  readonly classes: number;
  readonly height: number;
  readonly width: number;
}

/**
 * The network of an ONNX file with a classifier for these classes: its own where it has as many.
 * @throws CONFIG_INVALID for images of another size, MODEL_UNSUPPORTED, MODEL_DAMAGED
 */
export async function importedNetwork(
  { model: { dropout_rate: dropoutRate, transfer_mode: mode } }: Config,
  path: string,
  { classes, height, width }: InputShape,
): Promise<ImportedNetwork> {
  const bytes = await readFile(path);
  const onnx = openModel(bytes);
  const wrongSide = [onnx.input.height ?? height, onnx.input.width ?? width].find((side) => side !== height);
  if (wrongSide !== undefined) {
    const size = `${onnx.input.height ?? "any"} x ${onnx.input.width ?? "any"}`;
    throw new PipelineError("CONFIG_INVALID", `dataset.img_size is ${height}, ${path} is for images of ${size}`, {
      remedy: `set dataset.img_size=${wrongSide}, or export the network again for images of another size`,
    });
  }
  const trunk = onnx.trunk();
  if (trunk === undefined) {
    throw new PipelineError("MODEL_UNSUPPORTED", `${path} does not end in a linear layer that could be trained anew`, {
      remedy: "export it with its classifier as the last layer; it can be served as it is",
    });
  }
  const used = Object.values(trunk.weights);
  const model = importedModel({
    ...{ classes, height, width, dropoutRate, build: trunk.build },
    weights: used.map(({ name, role, tensor }) => ({ name, role, shape: tensor.shape })),
  });
  const weights = Object.fromEntries(used.map(({ name, tensor }) => [`${trunkPrefix}${name}`, tensor]));
  const { weight, bias = floats([weight.shape[0]!], new Float32Array(weight.shape[0]!)) } = trunk.classifier;
  const classifier: Named<Tensor<"float32">> = { "classifier.weight": weight, "classifier.bias": bias };
  const isKept = mode === "fine_tune" && weight.shape[0] === classes;
  const digest = createHash("sha256").update(bytes).digest("hex");
  return {
    model,
    weights: isKept
      ? { weights: { ...weights, ...classifier }, replaced: [], digest }
      : { weights, replaced: Object.keys(classifier), digest },
  };
}
