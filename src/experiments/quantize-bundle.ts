import { exportInferenceModel } from "../backends/onnx/export.ts";
import { loadInferenceModel } from "../backends/onnx/inference-model.ts";
import { exportQuantizedModel } from "../backends/onnx/quantized/export-quantized.ts";
import { usableWeightBits } from "../backends/onnx/quantized/weight-bits.ts";
import { PipelineError } from "../base/errors.ts";
import { availableCores } from "../base/machine-limits.ts";
import { createRng } from "../base/rng.ts";
import type { Config } from "../config/schema.ts";
import type { ImageSplit } from "../data/dataset.ts";
import type { InferenceModel } from "../graph/executor.ts";
import type { Bundle } from "../inference/bundle.ts";
import { writeForm } from "../inference/bundle-form.ts";
import { normalise, type Preprocessing } from "../inference/preprocess.ts";
import type { QuantizedFormat } from "../quantization/format.ts";
import type { ImageBatches } from "../quantization/observe.ts";
import { accuracyTolerance, type QuantizeStage, quantize } from "../quantization/quantize.ts";
import type { CalibrationMethod } from "../quantization/range.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { estimateTemperature, expectedCalibrationError } from "../training/calibration.ts";
import { argMax, classificationMetrics } from "../training/classification.ts";
import { logitsOf } from "../training/evaluate.ts";
import { loadBundleData } from "./bundle-data.ts";
import { bundleNetwork, requireSameLogits } from "./bundle-network.ts";
import type { BundleQuantization } from "./bundle-quantization.ts";
import { chooseImages, type DatasetOptions, splitDataset } from "./configured-dataset.ts";
import { bind } from "./evaluate-model.ts";
import { timedBatch, timeModels } from "./time-models.ts";

export interface BundleQuantizationRequest {
  readonly bundle: Bundle;
  /** The configuration of the bundle's training, with the data that are to be used now. */
  readonly config: Config;
  readonly method: CalibrationMethod;
  /** Training images to calibrate with, at most. */
  readonly images: number;
  readonly now?: () => Date;
}

export interface BundleQuantizationOptions extends DatasetOptions {
  readonly onStage?: ((stage: QuantizeStage, done: number, total: number) => void) | undefined;
}

/** Training images to calibrate with, where nothing else is asked for. */
export const defaultCalibrationImages = 1000;

/** Without validation images: training images, none of them used for calibration. */
const maxStandIns = 2000;

/**
 * Makes the 8-bit form of a bundle, measures it against the float model and puts it beside that. A run that is aborted
 * leaves the bundle as it was.
 * @throws DATA_FOREIGN unless the data are those of the training; INVALID_ARGUMENT, BUNDLE_DAMAGED as bundleNetwork
 */
export async function quantizeBundle(
  { bundle, config, method, images: wanted, now = () => new Date() }: BundleQuantizationRequest,
  options: BundleQuantizationOptions = {},
): Promise<BundleQuantization> {
  const { signal, onStage } = options;
  const { metadata } = bundle;
  const { preprocessing, classes } = metadata;
  const network = await bundleNetwork(bundle, config);
  const { dataset, sameData } = await loadBundleData(bundle, config, options);
  if (!sameData) {
    throw new PipelineError(
      "DATA_FOREIGN",
      `the images (digest ${dataset.digest}) are not those that ${metadata.name} was trained on (${metadata.dataset.digest})`,
      { remedy: "name the data of its training with --set dataset.source=PATH" },
    );
  }
  const rng = createRng(config.training.seed);
  const { trainIndices, validation } = splitDataset(config, dataset, rng);
  const shuffled = rng.split("calibration").permutation(trainIndices.length);
  const chosen = (from: number, to: number): ImageSplit =>
    chooseImages(
      dataset.train,
      shuffled.slice(from, to).map((i) => trainIndices[i]!),
    );
  const count = Math.min(wanted, trainIndices.length);
  const calibration = imageBatches(chosen(0, count), preprocessing);
  const judged = validation ?? chosen(count, count + maxStandIns);
  if (judged.count === 0) {
    throw new PipelineError("INVALID_ARGUMENT", `all ${count} training images are used for calibration`, {
      remedy: "use fewer: --images",
    });
  }

  const threads = config.training.threads > 0 ? config.training.threads : availableCores();
  const format = quantizedFormat(threads);
  await using float = await format.loadModel(await format.exportFloat(network));
  await using original = await loadInferenceModel(bundle.modelPath, { threads });
  await requireSameLogits(bundle, [original, float], calibration.batch(0, Math.min(timedBatch, count)));

  const logitsOn = (model: InferenceModel, split: ImageSplit): Promise<Tensor<"float32">> =>
    logitsOf({ model, split, normalise: bind(preprocessing), batchSize: config.evaluation.batch_size, signal });
  const accuracyOn = async (model: InferenceModel, split: ImageSplit): Promise<number> =>
    classificationMetrics(await logitsOn(model, split), split.labels, classes).accuracy;
  const floatAccuracy = await accuracyOn(original, judged);
  const weightBits = await usableWeightBits();
  const quantized = await quantize(network, {
    format,
    method,
    weightBits,
    images: calibration,
    floatAccuracy,
    async accuracyOf(bytes) {
      await using model = await format.loadModel(bytes);
      return await accuracyOn(model, judged);
    },
    signal,
    onProgress: onStage,
  });

  await using made = await format.loadModel(quantized.bytes);
  const temperature =
    validation === undefined
      ? metadata.calibration.temperature
      : estimateTemperature(await logitsOn(made, validation), validation.labels).temperature;
  const { test } = dataset;
  const [floatLogits, logits] = [await logitsOn(original, test), await logitsOn(made, test)];
  const accuracyOf = (of: Tensor<"float32">): number => classificationMetrics(of, test.labels, classes).accuracy;
  const [floatTimes, formTimes] = await timeModels([original, made], timedImages(test, preprocessing), signal);
  signal?.throwIfAborted();
  const { modelPath, metadata: form } = await writeForm(bundle, quantized.bytes, {
    formatVersion: 1,
    form: "int8",
    createdAt: now().toISOString(),
    calibration: { method, images: count },
    weightBits,
    floatLayers: [...quantized.floatLayers],
    temperature,
    accuracy: {
      ...(validation === undefined
        ? {}
        : { validation: { float: floatAccuracy, form: quantized.accuracy, images: validation.count } }),
      test: { float: accuracyOf(floatLogits), form: accuracyOf(logits), images: test.count },
    },
    agreement: agreementOf(floatLogits, logits),
    calibrationError: expectedCalibrationError(logits, test.labels, { temperature }),
  });
  return {
    form,
    modelPath,
    synthetic: dataset.synthetic,
    times: { float: floatTimes, form: formTimes },
    servedByDefault:
      floatAccuracy - quantized.accuracy <= accuracyTolerance &&
      formTimes.alone < floatTimes.alone &&
      formTimes.inBatches < floatTimes.inBatches,
  };
}

function quantizedFormat(threads: number): QuantizedFormat {
  return {
    exportFloat: (graph) => exportInferenceModel(graph, {}),
    exportQuantized: exportQuantizedModel,
    loadModel: (bytes) => loadInferenceModel(bytes, { threads }),
  };
}

function imageBatches(split: ImageSplit, preprocessing: Preprocessing): ImageBatches {
  const { count, height, width, images } = split;
  const size = 3 * height * width;
  return {
    count,
    batch: (start, rows) =>
      normalise(
        tensor("uint8", [rows, 3, height, width], images.slice(start * size, (start + rows) * size)),
        preprocessing,
      ),
  };
}

/** As many as are timed; a smaller part is repeated. */
function timedImages(split: ImageSplit, preprocessing: Preprocessing): Tensor<"float32"> {
  const indices = Int32Array.from({ length: timedBatch }, (_, i) => i % split.count);
  return imageBatches(chooseImages(split, indices), preprocessing).batch(0, timedBatch);
}

/** Share of rows with the same largest logit. */
function agreementOf(a: Tensor<"float32">, b: Tensor<"float32">): number {
  const [rows, classes] = a.shape as [number, number];
  let same = 0;
  for (let row = 0; row < rows; row++) {
    const [from, to] = [row * classes, (row + 1) * classes];
    if (argMax(a.data.subarray(from, to)) === argMax(b.data.subarray(from, to))) same += 1;
  }
  return same / rows;
}
