import type { Config } from "../config/schema.ts";
import { readBundle } from "../inference/bundle.ts";
import { normalise } from "../inference/preprocess.ts";
import { sampleImages } from "../inference/sample-images.ts";
import { tensor } from "../tensor/tensor.ts";
import { modelFiles } from "../tracking/mlflow-model.ts";
import type { RunLogger } from "../tracking/run-logger.ts";
import type { TrainEvent } from "../training/events.ts";
import type { Evaluation, ExperimentEvent } from "./events.ts";
import { type Curve, confusionPicture, curvesPicture } from "./pictures.ts";

/** Puts what an experiment tells into the words of the tracking store. */
export interface RunRecorder {
  record(event: ExperimentEvent): Promise<void>;
  /** Writes what is known only at the end. */
  finish(): Promise<void>;
}

export function runRecorder(logger: RunLogger, config: Config): RunRecorder {
  let epoch = 0;
  const curves = new Map<string, [number, number][]>();
  const note = (key: string, value: number | undefined): void => {
    if (value === undefined || !Number.isFinite(value)) return;
    const points = curves.get(key) ?? [];
    points.push([epoch, value]);
    curves.set(key, points);
  };
  return {
    record: async (event) => {
      switch (event.type) {
        case "run":
        case "data":
        case "warning":
          break;
        case "dataset":
          recordDataset(logger, event);
          break;
        case "weights":
          logger.setTags({ "weights.path": event.path, "weights.digest": event.digest });
          break;
        case "evaluation":
          await recordEvaluation(logger, event, epoch);
          break;
        case "bundle":
          logger.setTags({ "training.bundle": event.directory });
          if (config.mlflow.log_model) await recordModel(logger, config, event.directory);
          break;
        case "quantization":
          logger.setTags({
            "quantization.test_accuracy": String(event.form.accuracy.test.form),
            "quantization.agreement": String(event.form.agreement),
            "quantization.float_layers": event.form.floatLayers.join(" "),
          });
          break;
        default:
          if (event.type === "epoch") {
            epoch = event.epoch;
            note("training loss", event.trainLoss);
            note("validation loss", event.validation?.loss);
            note("training accuracy", event.trainAccuracy);
            note("validation accuracy", event.validation?.accuracy);
          }
          // A run that was stopped in its last evaluation goes on without any further epoch.
          if (event.type === "stop") epoch = event.epoch;
          logger.onEvent(event satisfies TrainEvent);
      }
    },
    finish: async () => {
      if (epoch === 0) return;
      const named = (word: string): Curve[] =>
        [...curves].filter(([name]) => name.endsWith(word)).map(([name, points]) => ({ name, points }));
      logger.logArtifact("curves/loss.png", { data: await curvesPicture({ title: "loss", curves: named("loss") }) });
      const accuracy = await curvesPicture({ title: "accuracy", curves: named("accuracy") });
      logger.logArtifact("curves/accuracy.png", { data: accuracy });
      logger.logArtifact("curves/curves.json", { data: toJson(Object.fromEntries(curves)) });
    },
  };
}

function recordDataset(logger: RunLogger, event: Extract<ExperimentEvent, { type: "dataset" }>): void {
  const { name, digest, origin, synthetic, classes, trainImages, validationImages, testImages } = event;
  logger.setTags({
    "dataset.name": name,
    "dataset.digest": digest,
    "dataset.origin": origin,
    "dataset.synthetic": String(synthetic),
  });
  logger.logInput({
    dataset: {
      name,
      // MLflow's digests have at most 36 characters; the tag has the whole.
      digest: digest.replace(/^sha256:/, "").slice(0, 36),
      sourceType: synthetic ? "code" : "local",
      source: JSON.stringify({ uri: origin }),
      profile: JSON.stringify({ classes, trainImages, validationImages, testImages }),
    },
    tags: [{ key: "mlflow.data.context", value: "training" }],
  });
}

async function recordEvaluation(
  logger: RunLogger,
  event: Extract<ExperimentEvent, { type: "evaluation" }>,
  epoch: number,
): Promise<void> {
  const { metrics } = event;
  const classes = metrics.perClass.map(({ label }) => label);
  logger.logMetrics(evaluationFigures(event), epoch);
  logger.logArtifact("metrics.json", { data: toJson(event) });
  logger.logArtifact("confusion_matrix.json", { data: toJson({ classes, confusion: metrics.confusion }) });
  const picture = await confusionPicture({ classes, confusion: metrics.confusion });
  logger.logArtifact("confusion_matrix.png", { data: picture });
}

/** The metrics of an evaluation as they are recorded. */
export function evaluationFigures(evaluation: Evaluation): Readonly<Record<string, number>> {
  const { metrics, withTta, calibrationError, temperature, split } = evaluation;
  return {
    [`${split}_loss`]: metrics.loss,
    [`${split}_accuracy`]: metrics.accuracy,
    [`${split}_precision`]: metrics.macroPrecision,
    [`${split}_recall`]: metrics.macroRecall,
    [`${split}_f1`]: metrics.macroF1,
    [`${split}_calibration_error`]: calibrationError,
    ...(withTta === undefined ? {} : { [`${split}_accuracy_tta`]: withTta.metrics.accuracy }),
    temperature,
  };
}

async function recordModel(logger: RunLogger, config: Config, directory: string): Promise<void> {
  const bundle = await readBundle(directory, { check: "metadata" });
  const { metadata } = bundle;
  const { height, width } = metadata.preprocessing;
  const { images } = await sampleImages(bundle);
  const first = tensor("uint8", [1, 3, height, width], images.slice(0, 3 * height * width));
  logger.logArtifact("model", { file: directory });
  const files = modelFiles({
    createdAt: new Date(metadata.createdAt),
    runId: logger.runId,
    inputShape: [3, height, width],
    example: normalise(first, metadata.preprocessing).data,
    classes: metadata.classes.length,
    metadata: { bundle: metadata.name, architecture: metadata.model.architecture },
  });
  for (const [name, data] of Object.entries(files)) logger.logArtifact(`model/${name}`, { data });
  if (!config.mlflow.register_model) return;
  const { model_name: name, model_aliases: aliases } = config.mlflow;
  logger.registerModel({ name, aliases, path: "model" });
}

function toJson(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
