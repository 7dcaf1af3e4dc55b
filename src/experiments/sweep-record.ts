import { join } from "node:path";
import { isPipelineError } from "../base/errors.ts";
import { configToYaml, flattenConfig } from "../config/flatten.ts";
import type { Config } from "../config/schema.ts";
import { svgToPng } from "../data/transforms/loaders.ts";
import type { Tracking } from "../tracking/open.ts";
import type { RunEnvironment } from "../tracking/run-environment.ts";
import { RunLogger } from "../tracking/run-logger.ts";
import { storeTarget } from "../tracking/run-target.ts";
import type { TerminalStatus } from "../tracking/types.ts";
import { historyPlot } from "../tuning/plots/history.ts";
import { importancePlot } from "../tuning/plots/importance-bars.ts";
import { parallelCoordinatesPlot } from "../tuning/plots/parallel-coordinates.ts";
import { slicesPlot } from "../tuning/plots/slices.ts";
import { bestTrial, type Study } from "../tuning/study.ts";
import type { StudyEvent } from "../tuning/study-event.ts";
import { studyState, studySummary } from "../tuning/summary.ts";
import { bestValue } from "../tuning/trial.ts";
import type { RunEnd } from "./run-end.ts";
import { latestRun } from "./run-folder.ts";
import { settle } from "./settle-runs.ts";
import { type StudyFolder, trialDirectory } from "./study-folder.ts";

export interface SweepRecordOptions {
  readonly folder: StudyFolder;
  readonly tracking: Tracking;
  readonly config: Config;
  readonly study: Study;
  readonly environment: RunEnvironment;
  readonly onProblem: (message: string) => void;
}

/** How the run of a trial has ended; nothing to say of one that has come to its own end. */
const runEndAfter: Readonly<Record<Extract<StudyEvent, { type: "ended" }>["reason"], RunEnd | undefined>> = {
  complete: undefined,
  paused: undefined,
  pruned: "pruned",
  budget: "stopped",
  interrupted: "stopped",
  diverged: "failed",
  failed: "failed",
  lost: "killed",
};

/** Between two writings of the state while the sweep runs. */
const stateIntervalMs = 1000;

/** The sweep's run in the tracking store: what happens to its trials, its state for a page to poll, and what came of it. */
export class SweepRecord {
  readonly #options: SweepRecordOptions;
  readonly #logger: RunLogger;
  #stateWritten = 0;

  constructor(options: SweepRecordOptions) {
    const { tracking, config, study, environment, onProblem } = options;
    this.#options = options;
    this.#logger = new RunLogger({
      ...{ target: storeTarget(tracking), environment },
      experimentName: config.mlflow.experiment_name,
      runName: study.studyId,
      params: flattenConfig(config),
      tags: { "tuning.study": study.studyId, "tuning.role": "sweep", "tuning.metric": study.metric },
      ...(study.parentRunId === undefined ? {} : { resumeRunId: study.parentRunId }),
      onProblem: (error) => onProblem(`tracking: ${error instanceof Error ? error.message : String(error)}`),
    });
    this.#logger.logArtifact("config.yaml", { data: configToYaml(config) });
  }

  /** Writes the run. @returns its id; undefined when the store did not take it */
  async open(): Promise<string | undefined> {
    this.#writeState(this.#options.study);
    await this.#logger.flush();
    return this.#logger.runId;
  }

  async onEvent(event: StudyEvent, study: Study): Promise<void> {
    if (event.type === "ended") await this.#onTrialEnd(event, study);
    const now = Date.now();
    if (event.type === "report" && now - this.#stateWritten < stateIntervalMs) return;
    this.#stateWritten = now;
    this.#writeState(study);
    await this.#logger.flush();
  }

  /** What came of it: summary, plots, the tuned configuration and the bundle. */
  async keep(study: Study, { bundle, yaml }: { readonly bundle: string; readonly yaml: string }): Promise<void> {
    this.#writeState(study);
    const summary = studySummary(study);
    this.#logger.logArtifact("tuning/summary.json", { data: json(summary) });
    this.#logger.logArtifact("tuning/tuned_config.yaml", { data: yaml });
    for (const [name, svg] of Object.entries(sweepPlots(study)))
      this.#logger.logArtifact(`tuning/${name}.png`, { data: await svgToPng(svg) });
    if (this.#options.config.mlflow.log_model) this.#logger.logArtifact("model", { file: bundle });
    const { best } = summary;
    if (best !== null) this.#logger.setTags({ "tuning.best_trial": String(best.trial), "tuning.bundle": bundle });
  }

  /** @returns how much could not be written */
  async finish(status: TerminalStatus): Promise<number> {
    return (await this.#logger.finish(status)).lost;
  }

  async #onTrialEnd({ trial: number, reason }: Extract<StudyEvent, { type: "ended" }>, study: Study): Promise<void> {
    const trial = study.trials[number]!;
    const value = bestValue(trial, study.direction);
    const best = bestTrial(study, ({ status }) => status !== "failed");
    if (value !== undefined) this.#logger.logMetrics({ trial_value: value }, number);
    if (best !== undefined) this.#logger.logMetrics({ best_value: bestValue(best, study.direction)! }, number);
    const { folder, tracking } = this.#options;
    const { store } = tracking;
    try {
      if (trial.trackingRunId !== undefined)
        await store.setTag(trial.trackingRunId, { key: "tuning.status", value: reason });
      // The trial does not know why it was stopped, and a process that was killed could not end its run itself.
      const run = await latestRun(join(trialDirectory(folder, number), "runs"));
      const end = runEndAfter[reason];
      if (end !== undefined && (run?.record.status === "running" || run?.record.status === "stopped"))
        await settle(run, end, { store, now: () => new Date() });
    } catch (error) {
      if (!isPipelineError(error)) throw error;
      this.#options.onProblem(`tracking: ${error.message}`);
    }
  }

  #writeState(study: Study): void {
    this.#logger.logArtifact("tuning/state.json", { data: json(studyState(study)) });
  }
}

export function sweepPlots(
  study: Study,
): Readonly<Record<"history" | "parallel_coordinates" | "importance" | "slices", string>> {
  return {
    history: historyPlot(study),
    parallel_coordinates: parallelCoordinatesPlot(study),
    importance: importancePlot(study.studyId, studySummary(study).importance),
    slices: slicesPlot(study),
  };
}

function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
