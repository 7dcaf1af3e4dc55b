import type { LoadedConfig } from "../../config/load.ts";
import type { ExperimentEvent, TrainingOutcome } from "../../experiments/events.ts";
import { runExperiment } from "../../experiments/experiment.ts";
import type { RunFolder } from "../../experiments/run-folder.ts";
import { createTrainingReporter, type TrainingReporter } from "../../observability/training-progress.ts";
import { onInterrupt } from "../interrupt.ts";
import { invocation } from "../invocation.ts";
import { note, print, printJson, type Terminal } from "./terminal.ts";
import { trainingDisplay } from "./training-display.ts";

export interface DisplayedTraining {
  readonly loaded: Pick<LoadedConfig, "config" | "resolved">;
  readonly resume?: RunFolder | undefined;
  readonly sourceName: string;
  readonly json: boolean;
}

/** Trains, shows it, and lets Ctrl-C save and stop. */
export async function trainWithDisplay(
  terminal: Terminal,
  { loaded, resume, sourceName, json }: DisplayedTraining,
): Promise<TrainingOutcome> {
  using interrupt = onInterrupt(
    terminal,
    "saving a checkpoint and stopping after this step … (Ctrl-C again: stop at once, without saving)",
  );
  const display = trainingDisplay(terminal);
  const { config, resolved } = loaded;
  const progress = await createTrainingReporter({
    path: config.monitoring.training_progress_file,
    onProblem: (error) => note(terminal, `the service is not told how the training goes: ${String(error)}`),
  });
  const experiment = runExperiment({
    config,
    resolved,
    resume,
    signal: interrupt.signal,
    sourceName,
    env: terminal.env,
  });
  let runId = "last";
  let outcome: "completed" | "stopped" | "failed" = "failed";
  try {
    for (;;) {
      const next = await experiment.next();
      if (next.done) {
        outcome = next.value.reason === "aborted" ? "stopped" : "completed";
        finish(terminal, next.value, { runId, json });
        return next.value;
      }
      if (next.value.type === "run") runId = next.value.runId;
      reportProgress(progress, next.value);
      if (json) printJson(terminal, next.value);
      else display.onEvent(next.value);
    }
  } finally {
    display.stop();
    await progress.end(outcome);
  }
}

/** What the service shows of a training. */
function reportProgress(progress: TrainingReporter, event: ExperimentEvent): void {
  if (event.type === "start") progress.report({ epochsPlanned: event.epochs });
  if (event.type === "step") progress.report({ learningRate: event.learningRate, step: event.globalStep });
  if (event.type !== "epoch") return;
  progress.report({
    epoch: event.epoch,
    trainLoss: event.trainLoss,
    trainAccuracy: event.trainAccuracy,
    validationLoss: event.validation?.loss ?? null,
    validationAccuracy: event.validation?.accuracy ?? null,
    imagesPerSecond: event.imagesPerSecond,
  });
}

function finish(
  terminal: Terminal,
  outcome: TrainingOutcome,
  { runId, json }: { readonly runId: string; readonly json: boolean },
): void {
  if (json) printJson(terminal, { type: "result", runId, ...outcome });
  if (outcome.reason !== "aborted") return;
  const line = `stopped after step ${outcome.globalStep}; go on with: ${invocation()} train --resume ${runId}`;
  if (json) note(terminal, line);
  else print(terminal, line);
}
