import { dirname, join } from "node:path";
import { isPipelineError } from "../base/errors.ts";
import { configToYaml, flattenConfig } from "../config/flatten.ts";
import type { Config } from "../config/schema.ts";
import { defaultArtifactRoot, openArtifactStore } from "../tracking/artifacts.ts";
import { readRunEnvironment } from "../tracking/run-environment.ts";
import { RunLogger } from "../tracking/run-logger.ts";
import { defaultStorePath, openSqliteStore } from "../tracking/sqlite-store.ts";
import type { TrackingStore } from "../tracking/store.ts";
import type { TrainEvent } from "../training/events.ts";
import type { ExperimentEvent, TrainingOutcome } from "./events.ts";
import { createRunFolder, lockRun, type RunFolder, updateRun } from "./run-folder.ts";
import { trainInWorker } from "./train-in-worker.ts";

export interface ExperimentOptions {
  readonly config: Config;
  /** The configuration as it is saved with run and bundle. */
  readonly resolved: Readonly<Record<string, unknown>>;
  /** The run to go on with. */
  readonly resume?: RunFolder | undefined;
  /** Aborting saves a checkpoint and ends the training. */
  readonly signal: AbortSignal;
  /** The program and command, such as "cifar train". */
  readonly sourceName: string;
  readonly now?: () => Date;
}

/**
 * Trains in a thread, keeps the run's folder and records the run in the tracking store: experiment, parameters,
 * metrics, tags and artifacts. Yields what happens; stop pulling to stop at once.
 */
export async function* runExperiment(options: ExperimentOptions): AsyncGenerator<ExperimentEvent, TrainingOutcome> {
  const { config, resolved, resume, signal, sourceName, now = () => new Date() } = options;
  const environment = await readRunEnvironment({ sourceName, cwd: process.cwd() });
  const storePath = config.mlflow.tracking_uri ?? defaultStorePath;
  await using store = await openSqliteStore({ path: storePath });
  const root = config.mlflow.tracking_uri === null ? defaultArtifactRoot : join(dirname(storePath), "artifacts");
  let run = resume ?? (await createRunFolder(config, now()));
  await using _lock = await lockRun(run);

  const warnings: string[] = [];
  const resumeRunId = await knownRun(store, run.record.trackingRunId, (message) => warnings.push(message));
  const logger = new RunLogger({
    store,
    artifacts: openArtifactStore({ root }),
    experimentName: config.mlflow.experiment_name,
    runName: run.record.runId,
    environment,
    params: flattenConfig(config),
    tags: { "training.run": run.record.runId, "training.run_directory": run.directory },
    ...(resumeRunId === undefined ? {} : { resumeRunId }),
    onProblem: (error) => warnings.push(`tracking: ${error instanceof Error ? error.message : String(error)}`),
  });
  logger.logArtifact("config.yaml", { data: configToYaml(config) });
  await logger.flush();
  const trackingRunId = logger.runId;
  run = await updateRun(run, { status: "running", ...(trackingRunId === undefined ? {} : { trackingRunId }) });

  const { runId, datasetDigest } = run.record;
  const mode = resume === undefined ? "start" : "resume";
  let outcome: TrainingOutcome | undefined;
  try {
    yield { type: "run", runId, directory: run.directory, trackingRunId, resumed: mode === "resume" };
    const request = { config, resolved, runId, directory: run.directory, mode, datasetDigest, trackingRunId } as const;
    const training = trainInWorker({ ...request, gitRevision: environment.gitCommit }, signal);
    const record = recorder(logger, config);
    try {
      while (outcome === undefined) {
        for (const message of warnings.splice(0)) yield { type: "warning", message };
        const next = await training.next();
        if (next.done) {
          outcome = next.value;
          break;
        }
        record(next.value);
        if (next.value.type === "dataset") run = await updateRun(run, { datasetDigest: next.value.digest });
        yield next.value;
      }
    } finally {
      // Ends the thread also when the caller has stopped pulling.
      await training.return(undefined as never);
    }
    const aborted = outcome.reason === "aborted";
    run = await updateRun(run, {
      status: aborted ? "interrupted" : "finished",
      ...(outcome.bundle === undefined ? {} : { bundle: outcome.bundle.directory }),
    });
    if (!aborted) logger.logMetrics({ training_flops: outcome.trainingFlops }, outcome.epochs);
    const { lost } = await logger.finish(aborted ? "KILLED" : "FINISHED");
    if (lost > 0) warnings.push(`tracking: ${lost} records of run ${runId} could not be written`);
    for (const message of warnings.splice(0)) yield { type: "warning", message };
    return outcome;
  } catch (error) {
    // Where the disk has failed this fails too: the first error is the one to tell.
    run = await updateRun(run, { status: "failed" }).catch(() => run);
    const { code, message } = isPipelineError(error) ? error : { code: "INTERNAL_ERROR", message: String(error) };
    logger.setTags({ "training.error": `${code}: ${message}` });
    throw error;
  } finally {
    // Does nothing where the run has ended above.
    await logger.finish("FAILED");
  }
}

/** The tracking run to go on with, unless the store has lost it. */
async function knownRun(
  store: TrackingStore,
  trackingRunId: string | undefined,
  warn: (message: string) => void,
): Promise<string | undefined> {
  if (trackingRunId === undefined) return undefined;
  try {
    return (await store.getRun(trackingRunId)).info.runId;
  } catch (error) {
    if (!isPipelineError(error, "TRACKING_NOT_FOUND")) throw error;
    warn(`tracking: the store does not know run ${trackingRunId} any more; a new one is recorded`);
    return undefined;
  }
}

/** Puts events into the words of the tracking store. */
function recorder(logger: RunLogger, config: Config): (event: ExperimentEvent) => void {
  let epoch = 0;
  return (event) => {
    switch (event.type) {
      case "run":
      case "data":
      case "warning":
        break;
      case "dataset":
        logger.setTags({
          "dataset.name": event.name,
          "dataset.digest": event.digest,
          "dataset.origin": event.origin,
          "dataset.synthetic": String(event.synthetic),
        });
        break;
      case "evaluation": {
        const { metrics, withTta, calibrationError, temperature, split } = event;
        const figures = {
          [`${split}_loss`]: metrics.loss,
          [`${split}_accuracy`]: metrics.accuracy,
          [`${split}_precision`]: metrics.macroPrecision,
          [`${split}_recall`]: metrics.macroRecall,
          [`${split}_f1`]: metrics.macroF1,
          [`${split}_calibration_error`]: calibrationError,
          ...(withTta === undefined ? {} : { [`${split}_accuracy_tta`]: withTta.metrics.accuracy }),
          temperature,
        };
        const classes = metrics.perClass.map(({ label }) => label);
        logger.logMetrics(figures, epoch);
        logger.logArtifact("metrics.json", { data: toJson(event) });
        logger.logArtifact("confusion_matrix.json", { data: toJson({ classes, confusion: metrics.confusion }) });
        break;
      }
      case "bundle":
        logger.setTags({ "training.bundle": event.directory });
        if (config.mlflow.log_model) logger.logArtifact("model", { file: event.directory });
        break;
      default:
        if (event.type === "epoch") epoch = event.epoch;
        logger.onEvent(event satisfies TrainEvent);
    }
  };
}

function toJson(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
