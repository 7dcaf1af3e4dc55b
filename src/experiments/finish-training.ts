import { join } from "node:path";
import { isPipelineError, PipelineError } from "../base/errors.ts";
import type { Config } from "../config/schema.ts";
import type { ImageDataset, ImageSplit } from "../data/dataset.ts";
import { type Bundle, writeBundle } from "../inference/bundle.ts";
import type { Preprocessing } from "../inference/preprocess.ts";
import { sampleOf } from "../inference/sample-images.ts";
import { buildInferenceGraph, type Model, parameterCount } from "../models/model.ts";
import { estimateTemperature } from "../training/calibration.ts";
import { logitsOf } from "../training/evaluate.ts";
import type { TrainResult } from "../training/fit.ts";
import type { ModelFormat } from "../training/validation.ts";
import { driftReference, emptyReference } from "./drift-reference.ts";
import { bind, evaluateModel } from "./evaluate-model.ts";
import type { Evaluation, TrainingOutcome } from "./events.ts";
import { defaultCalibrationImages, quantizeBundle } from "./quantize-bundle.ts";
import { modelsDirectory, timestamp } from "./run-folder.ts";
import type { TrainingContext, TrainingRequest } from "./training-request.ts";

export interface FinishedTraining {
  readonly prepared: {
    readonly dataset: ImageDataset;
    readonly validation: ImageSplit | undefined;
    readonly test: ImageSplit;
  };
  readonly preprocessing: Preprocessing;
  readonly result: TrainResult;
  readonly format: ModelFormat;
  readonly model: Model;
}

/** Exports, calibrates and evaluates the best weights and writes the bundle. */
export async function finishTraining(
  request: TrainingRequest,
  { signal, onEvent, now = () => new Date() }: TrainingContext,
  { prepared, result, format, model, preprocessing }: FinishedTraining,
): Promise<Pick<TrainingOutcome, "bundle" | "test">> {
  const { config } = request;
  const { dataset, validation, test: testImages } = prepared;
  const batchSize = config.evaluation.batch_size;
  // Any batch above 1 will do: it becomes free in the file.
  const modelBytes = await format.exportModel(
    buildInferenceGraph(model, { batch: 2, images: preprocessing }),
    result.weights,
  );
  await using loaded = await format.loadModel(modelBytes);
  const validationLogits =
    validation === undefined
      ? undefined
      : await logitsOf({ model: loaded, split: validation, normalise: bind(preprocessing), batchSize, signal });
  const { temperature, doubt } =
    validation === undefined || validationLogits === undefined
      ? { temperature: 1, doubt: "without validation images confidences are not calibrated" }
      : estimateTemperature(validationLogits, validation.labels);
  if (doubt !== undefined) onEvent({ type: "warning", message: doubt });
  const test: Evaluation = await evaluateModel(
    { model: loaded, preprocessing, classes: dataset.classes, batchSize, temperature, signal },
    { split: "test", images: testImages, tta: config.evaluation.tta },
  );
  onEvent({ type: "evaluation", synthetic: dataset.synthetic, ...test });

  const createdAt = now();
  const bundle = await writeNewBundle(config, createdAt, (name) => ({
    modelBytes,
    weights: result.weights,
    sample: validation === undefined ? undefined : sampleOf(validation),
    metadata: {
      formatVersion: 1,
      name,
      createdAt: createdAt.toISOString(),
      model: {
        architecture: model.name,
        parameterCount: parameterCount(model),
        inputName: "images",
        outputName: "logits",
      },
      classes: [...dataset.classes],
      preprocessing,
      dataset: { name: dataset.name, synthetic: dataset.synthetic, digest: dataset.digest },
      metrics: {
        ...(result.validation === undefined ? {} : { validation: headline(result.validation) }),
        test: {
          ...headline(test.metrics),
          ...(test.withTta === undefined ? {} : { accuracyWithTta: test.withTta.metrics.accuracy }),
        },
      },
      calibration: { temperature },
      reference:
        validation === undefined || validationLogits === undefined
          ? emptyReference(dataset.classes.length)
          : driftReference(validationLogits, temperature, validation),
      training: {
        seed: config.training.seed,
        epochs: result.epochs,
        runId: request.trackingRunId ?? request.runId,
        ...(request.gitRevision === undefined ? {} : { gitRevision: request.gitRevision }),
        config: { ...request.resolved },
      },
    },
  }));
  const { directory, metadata } = bundle;
  onEvent({ type: "bundle", name: metadata.name, directory });
  if (config.evaluation.quantize) await addForm(bundle, config, { signal, onEvent });
  return { bundle: { name: metadata.name, directory }, test };
}

/** The training is done and its bundle written: without the form too, as a warning tells. */
async function addForm(
  bundle: Bundle,
  config: Config,
  { signal, onEvent }: Pick<TrainingContext, "signal" | "onEvent">,
): Promise<void> {
  try {
    const request = { bundle, config, method: "minmax", images: defaultCalibrationImages } as const;
    onEvent({ type: "quantization", ...(await quantizeBundle(request, { signal })) });
  } catch (error) {
    if (!signal.aborted && !isPipelineError(error)) throw error;
    const why = isPipelineError(error) ? error.message : "it was stopped; `cifar quantize` makes it";
    onEvent({ type: "warning", message: `the bundle has no 8-bit form: ${why}` });
  }
}

function headline({ accuracy, loss, macroF1 }: Evaluation["metrics"]) {
  return { accuracy, loss, macroF1 };
}

async function writeNewBundle(
  config: Config,
  createdAt: Date,
  content: (name: string) => Omit<Parameters<typeof writeBundle>[0], "directory">,
): Promise<Bundle> {
  const trainer = config.distributed.use_distributed ? "distributed" : "trainer";
  const base = `${config.model.name}_${trainer}_${timestamp(createdAt)}`;
  for (let attempt = 1; ; attempt++) {
    const name = attempt === 1 ? base : `${base}-${attempt}`;
    try {
      return await writeBundle({ directory: join(modelsDirectory(config), name), ...content(name) });
    } catch (error) {
      // Another training that ended in the same second.
      if (!(error instanceof PipelineError && error.code === "BUNDLE_EXISTS") || attempt >= 100) throw error;
    }
  }
}
