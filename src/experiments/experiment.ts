import { isPipelineError } from "../base/errors.ts";
import { configToYaml, flattenConfig } from "../config/flatten.ts";
import type { Config } from "../config/schema.ts";
import { readRunEnvironment } from "../tracking/run-environment.ts";
import { RunLogger } from "../tracking/run-logger.ts";
import { watchSystem } from "../tracking/system-metrics.ts";
import type { ExperimentEvent, TrainingOutcome } from "./events.ts";
import { endOf, type RunEnd, stopReasonOf, trackedEnd } from "./run-end.ts";
import { createRunFolder, lockRun, type RunFolder, runsDirectory, updateRun } from "./run-folder.ts";
import { runRecorder } from "./run-recorder.ts";
import { openRunTracking, type RunTracking, type RunTrackingOptions } from "./run-tracking.ts";
import { settleRuns } from "./settle-runs.ts";
import { trainDistributed } from "./train-distributed.ts";
import { trainInWorker } from "./train-in-worker.ts";

export interface ExperimentOptions {
  readonly config: Config;
  /** The configuration as it is saved with run and bundle. */
  readonly resolved: Readonly<Record<string, unknown>>;
  /** The run to go on with. */
  readonly resume?: RunFolder | undefined;
  /** Aborting saves a checkpoint and ends the training; a reason that is text is recorded as why. */
  readonly signal: AbortSignal;
  /** The program and command, such as "cifar train". */
  readonly sourceName: string;
  /** Of the run in the tracking store; default the run's id. */
  readonly runName?: string | undefined;
  /** The run in the tracking store that this one is a part of. */
  readonly parentRunId?: string | undefined;
  /** Where the run is recorded; default: where the configuration says. */
  readonly openTracking?: (options: RunTrackingOptions) => Promise<RunTracking>;
  /** More tags of that run. */
  readonly tags?: Readonly<Record<string, string>> | undefined;
  readonly now?: () => Date;
  /**
   * Default: the environment of the process. Credentials of a tracking server (MLFLOW_TRACKING_USERNAME and _PASSWORD,
   * or _TOKEN), and what the launcher of a distributed training leaves there.
   */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/**
 * Trains in a thread, keeps the run's folder and records the run in the tracking store: experiment, parameters,
 * metrics, tags and artifacts. Yields what happens; stop pulling to stop at once.
 */
export async function* runExperiment(options: ExperimentOptions): AsyncGenerator<ExperimentEvent, TrainingOutcome> {
  const { config, resolved, resume, signal, sourceName, env = process.env, now = () => new Date() } = options;
  const { openTracking = openRunTracking, parentRunId } = options;
  const environment = await readRunEnvironment({ sourceName, cwd: process.cwd() });
  let run = resume ?? (await createRunFolder(config, now()));
  await using _lock = await lockRun(run);

  const warnings: string[] = [];
  const warn = (message: string): void => {
    warnings.push(`tracking: ${message}`);
  };
  await using tracking = await openTracking({ config, env, run, warn });
  const resumeRunId = await tracking.knownRun(run.record.trackingRunId);
  const logger = new RunLogger({
    target: tracking.target,
    experimentName: config.mlflow.experiment_name,
    runName: options.runName ?? run.record.runId,
    environment,
    params: flattenConfig(config),
    tags: {
      "training.run": run.record.runId,
      "training.run_directory": run.directory,
      ...(parentRunId === undefined ? {} : { "mlflow.parentRunId": parentRunId }),
      ...options.tags,
    },
    stepInterval: config.mlflow.step_interval,
    ...(resumeRunId === undefined ? {} : { resumeRunId }),
    onProblem: (error) => warn(error instanceof Error ? error.message : String(error)),
  });
  using _system = watchSystem({
    intervalMs: config.mlflow.system_metrics_seconds * 1000,
    since: Date.parse(run.record.createdAt),
    onSample: (values, step) => logger.logMetrics(values, step),
  });
  logger.logArtifact("config.yaml", { data: configToYaml(config) });
  await logger.flush();
  const trackingRunId = await tracking.settled();
  run = await updateRun(run, { status: "running", ...(trackingRunId === undefined ? {} : { trackingRunId }) });
  // Of a server that is away nothing can be said now.
  if (trackingRunId !== undefined)
    await settleRuns(runsDirectory(config), { store: tracking.store, now, warn: (message) => warnings.push(message) });

  const { runId, datasetDigest } = run.record;
  const mode = resume === undefined ? "start" : "resume";
  let outcome: TrainingOutcome | undefined;
  let failed = false;
  try {
    yield { type: "run", runId, directory: run.directory, trackingRunId, resumed: mode === "resume" };
    const request = { config, resolved, runId, directory: run.directory, mode, datasetDigest, trackingRunId } as const;
    const whole = { ...request, gitRevision: environment.gitCommit };
    const training = config.distributed.use_distributed
      ? trainDistributed(whole, { env, signal })
      : trainInWorker(whole, signal);
    const recorder = runRecorder(logger, config);
    try {
      while (outcome === undefined) {
        for (const message of warnings.splice(0)) yield { type: "warning", message };
        const next = await training.next();
        if (next.done) {
          outcome = next.value;
          break;
        }
        await recorder.record(next.value);
        if (next.value.type === "dataset") run = await updateRun(run, { datasetDigest: next.value.digest });
        yield next.value;
      }
    } finally {
      // Ends the thread also when the caller has stopped pulling.
      await training.return(undefined as never);
    }
    const end = endOf(outcome.reason);
    if (end === "stopped") logger.setTags({ "training.stop_reason": stopReasonOf(signal) });
    run = await updateRun(run, {
      status: end,
      ...(outcome.bundle === undefined ? {} : { bundle: outcome.bundle.directory }),
    });
    if (end === "finished") logger.logMetrics({ training_flops: outcome.trainingFlops }, outcome.epochs);
    await recorder.finish();
    const { lost } = await logger.finish(trackedEnd[end]);
    await tracking.drain();
    if (lost > 0) warnings.push(`tracking: ${lost} records of run ${runId} could not be written`);
    for (const message of warnings.splice(0)) yield { type: "warning", message };
    return outcome;
  } catch (error) {
    failed = true;
    const { code, message } = isPipelineError(error) ? error : { code: "INTERNAL_ERROR", message: String(error) };
    logger.setTags({ "training.error": `${code}: ${message}` });
    throw error;
  } finally {
    // Of a run that has ended above nothing is left to say; a caller that stops pulling stops the run.
    const end: RunEnd = failed ? "failed" : "stopped";
    // Where the disk has failed this fails too: the first error is the one to tell.
    const note = async (change: Parameters<typeof updateRun>[1]): Promise<void> => {
      run = await updateRun(run, change).catch(() => run);
    };
    if (run.record.status === "running") await note({ status: end });
    const { isEndTold } = await logger.finish(trackedEnd[end]);
    if (!isEndTold && trackingRunId !== undefined) await note({ isEndUntold: true });
  }
}
