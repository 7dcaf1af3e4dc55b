import { createHash } from "node:crypto";
import { exportInferenceModel } from "../backends/onnx/export.ts";
import { loadInferenceModel } from "../backends/onnx/inference-model.ts";
import { type ReadModel, readModel } from "../backends/onnx/read-model.ts";
import { isPipelineError, PipelineError } from "../base/errors.ts";
import { createRng } from "../base/rng.ts";
import type { InferenceModel } from "../graph/executor.ts";
import { type Bundle, writeBundle } from "../inference/bundle.ts";
import type { Preprocessing } from "../inference/preprocess.ts";
import { softmax } from "../inference/softmax.ts";
import { sizeOf } from "../tensor/shape.ts";
import { floatData, floats, type Tensor } from "../tensor/tensor.ts";
import { emptyReference } from "./drift-reference.ts";

/** Difference from the file, relative to its largest result, at which a model is refused. */
const tolerance = 1e-4;
/** Random batches that are compared. */
const comparisons = 3;

export interface ImportRequest {
  /** The ONNX file. */
  readonly bytes: Uint8Array;
  /** The bundle's folder, to be created, and its name. */
  readonly directory: string;
  readonly name: string;
  readonly classes: readonly string[];
  readonly mean: Preprocessing["mean"];
  readonly std: Preprocessing["std"];
  /** Size of the images, where the file leaves it free. */
  readonly height?: number | undefined;
  readonly width?: number | undefined;
  /** Which output is meant, where the file has several. */
  readonly output?: string | undefined;
  readonly now?: () => Date;
}

export interface ImportedModel {
  readonly bundle: Bundle;
  readonly model: Pick<ReadModel, "input" | "outputName" | "ending">;
  /** Largest difference from onnxruntime on the file itself, relative to the largest result. */
  readonly difference: number;
}

/** @throws INVALID_ARGUMENT unless there is one name for each class, and no two are the same: answers go by name */
function requireNames(names: readonly string[], count: number): void {
  const remedy = "give each class of the model a name of its own, in its order";
  if (names.length !== count)
    throw new PipelineError("INVALID_ARGUMENT", `${names.length} class names for ${count} classes`, { remedy });
  const repeated = [...new Set(names.filter((name, i) => names.indexOf(name) !== i))];
  if (repeated.length === 0) return;
  const some = repeated.slice(0, 5).map((name) => JSON.stringify(name));
  throw new PipelineError("INVALID_ARGUMENT", `several classes have the same name: ${some.join(", ")}`, {
    remedy,
    details: { repeated },
  });
}

/**
 * Reads an ONNX file into the graph, compares it with onnxruntime on the file, and writes it as a bundle.
 * @throws MODEL_DAMAGED, MODEL_UNSUPPORTED; MODEL_REFUSED where the results differ; INVALID_ARGUMENT, BUNDLE_EXISTS
 */
export async function importModel(request: ImportRequest): Promise<ImportedModel> {
  const { bytes, directory, name, classes, mean, std, now = () => new Date() } = request;
  // Any batch above 1 will do: it becomes free in the file.
  const read = readModel(bytes, { batch: 2, ...sizeOptions(request) });
  requireNames(classes, read.classes);
  const { modelBytes, difference } = await verified(read, bytes);
  const { height, width, weights, graph } = read;
  const parameterCount = Object.values(weights).reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  const bundle = await writeBundle({
    directory,
    modelBytes,
    metadata: {
      formatVersion: 1,
      name,
      createdAt: now().toISOString(),
      model: {
        architecture: `imported:${graph.name.slice(0, 100)}`,
        parameterCount: Math.max(1, parameterCount),
        inputName: "images",
        outputName: "logits",
      },
      classes: [...classes],
      preprocessing: { height, width, resize: "bilinear", mean, std },
      dataset: { name: "imported", synthetic: false, digest: createHash("sha256").update(bytes).digest("hex") },
      metrics: {},
      calibration: { temperature: 1 },
      reference: emptyReference(classes.length),
      training: { seed: 0, epochs: 0, config: height === width ? { "dataset.img_size": height } : {} },
    },
  });
  const { input, outputName, ending } = read;
  return { bundle, model: { input, outputName, ending }, difference };
}

const sizeOptions = ({ height, width, output }: ImportRequest) => ({ height, width, output });

/** The graph as it will be served, and how far it is from the file. */
async function verified(read: ReadModel, bytes: Uint8Array): Promise<{ modelBytes: Uint8Array; difference: number }> {
  let modelBytes: Uint8Array;
  try {
    modelBytes = await exportInferenceModel(read.graph, read.weights);
  } catch (cause) {
    if (!isPipelineError(cause, "GRAPH_INVALID")) throw cause;
    throw new PipelineError("MODEL_UNSUPPORTED", `the ONNX model cannot be served: ${cause.message}`, { cause });
  }
  await using original = await loadInferenceModel(bytes);
  await using served = await loadInferenceModel(modelBytes);
  // More than a file of a fixed batch takes at once: what is served takes any.
  const batch = 2 * (read.input.batch ?? 1);
  const rng = createRng("import");
  let difference = 0;
  for (let round = 0; round < comparisons; round++) {
    const shape = [batch, 3, read.height, read.width];
    const images = floats(
      shape,
      Float32Array.from({ length: sizeOf(shape) }, () => rng.normal()),
    );
    const expected = await originalScores(original, read, images);
    const scores = scoresOf(floatData((await served.run({ images })).logits!), read);
    difference = Math.max(difference, distance(expected, scores));
  }
  if (!(difference <= tolerance)) {
    const found = `its results differ by ${difference.toExponential(1)} of the largest one`;
    throw new PipelineError("MODEL_REFUSED", `the model as it was read is not that of the file: ${found}`, {
      remedy: "report it with the file; serve the file elsewhere until then",
      details: { difference, tolerance },
    });
  }
  return { modelBytes, difference };
}

async function originalScores(
  model: InferenceModel,
  { input, outputName }: ReadModel,
  { shape, data }: Tensor<"float32">,
): Promise<Float32Array> {
  const [count] = shape as [number];
  const atOnce = input.batch ?? count;
  const size = data.length / count;
  const scores: number[] = [];
  for (let first = 0; first < count; first += atOnce) {
    const part = floats([atOnce, ...shape.slice(1)], data.slice(first * size, (first + atOnce) * size));
    const given = input.layout === "NCHW" ? part : channelsLast(part);
    try {
      scores.push(...floatData((await model.run({ [input.name]: given }))[outputName]!));
    } catch (cause) {
      throw new PipelineError("MODEL_DAMAGED", "onnxruntime cannot run the file", {
        remedy: "export it again, and check it with onnx.checker.check_model",
        cause,
      });
    }
  }
  return Float32Array.from(scores);
}

function channelsLast({ shape, data }: Tensor<"float32">): Tensor<"float32"> {
  const [n, c, h, w] = shape as [number, number, number, number];
  const plane = h * w;
  const moved = Float32Array.from(data, (_, at) => {
    const [image, rest] = [Math.floor(at / (c * plane)), at % (c * plane)];
    return data[(image * c + (rest % c)) * plane + Math.floor(rest / c)]!;
  });
  return floats([n, h, w, c], moved);
}

/** What the file gives: logits, or their probabilities where it ends in a softmax. */
function scoresOf(logits: Float32Array, { ending, classes }: ReadModel): Float32Array {
  if (ending === "logits") return logits;
  const scores = new Float32Array(logits.length);
  for (let at = 0; at < logits.length; at += classes) scores.set(softmax(logits.subarray(at, at + classes)), at);
  return scores;
}

function distance(expected: Float32Array, actual: Float32Array): number {
  const largest = expected.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  const apart = expected.reduce((max, value, i) => Math.max(max, Math.abs(value - actual[i]!)), 0);
  if (expected.length !== actual.length) return Number.POSITIVE_INFINITY;
  return largest === 0 ? apart : apart / largest;
}
