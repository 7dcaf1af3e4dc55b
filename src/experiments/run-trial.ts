import { join } from "node:path";
import { replaceFile } from "../base/durable.ts";
import { statementOf } from "../base/error-transfer.ts";
import { isPipelineError } from "../base/errors.ts";
import { lockFile } from "../base/lock-file.ts";
import { loadConfig } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import { recordOf } from "../tracking/training-record.ts";
import type { TrialMessage } from "../tuning/trial-message.ts";
import type { ExperimentEvent } from "./events.ts";
import { runExperiment } from "./experiment.ts";
import { latestRun, type RunFolder, runsDirectory } from "./run-folder.ts";
import { evaluationFigures } from "./run-recorder.ts";
import { openTrialLog, type TrialLog } from "./trial-log.ts";
import type { TrialSpec } from "./trial-spec.ts";

export interface TrialContext {
  /** Aborting saves a checkpoint and ends. */
  readonly signal: AbortSignal;
  /** Tells whoever watches the trial. */
  readonly say: (message: TrialMessage) => void;
}

const heartbeatMs = 2000;

/** One attempt at a trial: goes on where the attempts before it stopped, up to the step at which it halts. */
export async function runTrial(spec: TrialSpec, { signal, say }: TrialContext): Promise<void> {
  const { directory } = spec;
  await using log = await openTrialLog(join(directory, "messages.jsonl"));
  // An attempt whose tuner has died may still be saving: wait for it.
  await using lock = await lockFile(join(directory, "trial.lock"), { signal, staleMs: 60_000 });
  const file = join(directory, "sweep.yaml");
  await replaceFile(file, spec.config);
  const { config, resolved } = loadConfig({ file, env: {}, overrides: spec.overrides });
  const place = { step: 0, steps: 0 };
  const beat = setInterval(() => {
    say({ type: "heartbeat", ...place });
    void lock.touch().catch(() => undefined);
  }, heartbeatMs);
  try {
    for (const message of log.earlier) say(message);
    const finished = log.earlier.find((message) => message.type === "result");
    if (finished !== undefined) return;
    const previous = await latestRun(runsDirectory(config));
    const done = lastStep(log.earlier);
    if (previous?.record.status === "finished") {
      // It was killed between the end of the training and the last word about it.
      const { bundle } = previous.record;
      await last(log, say, {
        type: "result",
        outcome: "complete",
        step: done,
        ...(bundle === undefined ? {} : { bundle }),
      });
      return;
    }
    if (done >= spec.until && done < epochsOf(config)) {
      say({ type: "result", outcome: "paused", step: done });
      return;
    }
    await train(spec, { config, resolved, previous, log, place, signal, say });
  } finally {
    clearInterval(beat);
  }
}

interface Training extends TrialContext {
  readonly config: Config;
  readonly resolved: Readonly<Record<string, unknown>>;
  readonly previous: RunFolder | undefined;
  readonly log: TrialLog;
  readonly place: { step: number; steps: number };
}

async function train(spec: TrialSpec, training: Training): Promise<void> {
  const { config, resolved, previous, log, place, signal, say } = training;
  const tell = async (message: TrialMessage): Promise<void> => {
    await log.append(message);
    say(message);
  };
  const halt = new AbortController();
  const cost = { flopsPerImage: 0, flops: 0 };
  let step = lastStep(log.earlier);
  const onEvent = async (event: ExperimentEvent): Promise<void> => {
    switch (event.type) {
      case "run": {
        const { runId, trackingRunId } = event;
        await tell({ type: "run", runId, ...(trackingRunId === undefined ? {} : { trackingRunId }) });
        break;
      }
      case "start":
        cost.flopsPerImage = event.flopsPerImage;
        place.steps = Math.ceil(event.epochs * event.stepsPerEpoch);
        break;
      case "step":
        place.step = event.globalStep;
        break;
      case "epoch":
        step = event.epoch;
        cost.flops = cost.flopsPerImage * config.training.batch_size * event.globalStep;
        await tell({ type: "report", step, metrics: finite(recordOf(event).metrics ?? {}), flops: cost.flops });
        if (step >= spec.until && step < epochsOf(config)) halt.abort("paused");
        break;
      case "evaluation":
        await tell({ type: "report", step, metrics: finite(evaluationFigures(event)), flops: cost.flops });
        break;
      default:
        break;
    }
  };
  try {
    const experiment = runExperiment({
      ...{ config, resolved, resume: previous, sourceName: "cifar tune" },
      signal: AbortSignal.any([signal, halt.signal]),
      runName: `${spec.studyId}/trial-${String(spec.trial).padStart(4, "0")}`,
      parentRunId: spec.parentRunId,
      tags: { "tuning.study": spec.studyId, "tuning.trial": String(spec.trial) },
    });
    for (;;) {
      const next = await experiment.next();
      if (!next.done) {
        await onEvent(next.value);
        continue;
      }
      const { reason, bundle } = next.value;
      if (reason === "aborted") say({ type: "result", outcome: halt.signal.aborted ? "paused" : "stopped", step });
      else
        await last(log, say, {
          type: "result",
          outcome: "complete",
          step,
          ...(bundle === undefined ? {} : { bundle: bundle.directory }),
        });
      return;
    }
  } catch (error) {
    if (!isPipelineError(error)) throw error;
    const outcome = error.code === "TRAINING_DIVERGED" ? "diverged" : "failed";
    // A thread or a disk that failed may work the next time: such an attempt counts as lost.
    if (outcome === "failed" && repeatable.has(error.code)) throw error;
    await last(log, say, { type: "result", outcome, step, error: `${error.code}: ${statementOf(error)}` });
  }
}

const repeatable: ReadonlySet<string> = new Set([
  "TRAINING_WORKER_FAILED",
  "STORAGE_FAILED",
  "TRACKING_STORE_FAILED",
  "DATA_WORKER_FAILED",
]);

/** The last word about a trial, which no later attempt changes. */
async function last(log: TrialLog, say: TrialContext["say"], message: TrialMessage): Promise<void> {
  await log.append(message);
  say(message);
}

function epochsOf({ training }: Config): number {
  return training.num_epochs;
}

function lastStep(messages: readonly TrialMessage[]): number {
  return messages.reduce((step, message) => (message.type === "report" ? Math.max(step, message.step) : step), 0);
}

function finite(metrics: Readonly<Record<string, number>>): Record<string, number | null> {
  return Object.fromEntries(
    Object.entries(metrics).map(([key, value]) => [key, Number.isFinite(value) ? value : null]),
  );
}
