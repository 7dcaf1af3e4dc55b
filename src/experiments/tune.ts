import { mkdir, readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { replaceFile } from "../base/durable.ts";
import { PipelineError } from "../base/errors.ts";
import { configToYaml } from "../config/flatten.ts";
import type { LoadedConfig } from "../config/load.ts";
import { svgToPng } from "../data/transforms/loaders.ts";
import { readRunEnvironment } from "../tracking/run-environment.ts";
import type { TrialExecutor } from "../tuning/executors/executor.ts";
import { createJournal, openJournal, type StudyJournal } from "../tuning/journal.ts";
import type { Params } from "../tuning/space.ts";
import { bestTrial, type Study } from "../tuning/study.ts";
import { bestValue, type Trial } from "../tuning/trial.ts";
import { type SweepEnd, type TunerEvent, tune } from "../tuning/tuner.ts";
import { configuredSpace } from "./configured-space.ts";
import { openTracking } from "./open-tracking.ts";
import { modelsDirectory } from "./run-folder.ts";
import {
  createStudyFolder,
  lockStudy,
  readStudyConfig,
  type StudyFolder,
  studiesDirectory,
  studyConfigFile,
  trialDirectory,
} from "./study-folder.ts";
import {
  configuredBudget,
  configuredDirection,
  configuredExecutor,
  configuredPruner,
  configuredSampler,
  refusalOf,
  sweepYaml,
  trialOverrides,
  tunedConfig,
  tunedConfigFile,
} from "./sweep-plan.ts";
import { SweepRecord, sweepPlots } from "./sweep-record.ts";
import { writeTrialSpec } from "./trial-spec.ts";
import { keepTunedBundle } from "./tuned-bundle.ts";

export interface SweepOptions {
  readonly loaded: LoadedConfig;
  /** The configuration file; the tuned one is written beside it. */
  readonly configFile?: string | undefined;
  /** The sweep to go on with. */
  readonly resume?: StudyFolder | undefined;
  /** Aborting lets the running trials save and ends; the sweep can be resumed. */
  readonly signal: AbortSignal;
  /** The program and command, such as "cifar tune". */
  readonly sourceName: string;
  readonly now?: () => Date;
}

export type SweepEvent =
  | TunerEvent
  | {
      readonly type: "sweep";
      readonly studyId: string;
      readonly directory: string;
      readonly trackingRunId: string | undefined;
      readonly executor: string;
      readonly slots: number;
      readonly trials: number;
      readonly resumed: boolean;
    }
  | { readonly type: "tuned"; readonly bundle: string; readonly config: string };

export interface SweepOutcome {
  readonly studyId: string;
  readonly end: SweepEnd;
  readonly study: Study;
  /** Undefined when the sweep was interrupted. */
  readonly best:
    | {
        readonly trial: number;
        readonly value: number;
        readonly params: Params;
        readonly bundle: { readonly name: string; readonly directory: string };
        /** A configuration file with the best values. */
        readonly configFile: string;
      }
    | undefined;
}

/**
 * Searches hyperparameters: runs the trials, records them as runs nested under the sweep's own, and keeps the best one's
 * model and configuration. Yields what happens.
 * @throws TUNING_FAILED when no trial ended well, STUDY_BUSY, and what configuration, disk and executor throw
 */
export async function* runSweep(options: SweepOptions): AsyncGenerator<SweepEvent, SweepOutcome> {
  const { loaded, resume, signal, sourceName, now = () => new Date() } = options;
  const { config } = loaded;
  const space = configuredSpace(config);
  const folder = resume ?? (await createStudyFolder(studiesDirectory(config), sweepYaml(loaded), now()));
  await using lock = await lockStudy(folder);
  const touching = setInterval(() => void lock.touch().catch(() => undefined), 10_000);
  try {
    await using journal =
      resume === undefined
        ? await createJournal(folder.directory, {
            ...{ type: "study", formatVersion: 1, studyId: folder.studyId, at: now().getTime() },
            ...{ metric: config.ray_tune.metric, direction: configuredDirection(config), space },
            ...{ sampler: config.ray_tune.search.algorithm, pruner: config.ray_tune.scheduler.name },
            maxSteps: mostEpochs(loaded),
          })
        : await openJournal(folder.directory);
    await using executor = await configuredExecutor(config, folder.studyId);
    await using tracking = await openTracking(config);
    const problems: string[] = [];
    const record = new SweepRecord({
      ...{ folder, tracking, config, study: journal.study },
      environment: await readRunEnvironment({ sourceName, cwd: process.cwd() }),
      onProblem: (message) => problems.push(message),
    });
    let status: "FINISHED" | "FAILED" | "KILLED" = "FAILED";
    try {
      const parentRunId = await record.open();
      await journal.append({
        type: "session",
        at: now().getTime(),
        ...(parentRunId === undefined ? {} : { parentRunId }),
      });
      yield {
        ...{ type: "sweep", studyId: folder.studyId, directory: folder.directory, trackingRunId: parentRunId },
        ...{ executor: executor.name, slots: await executor.slots(config.ray_tune.resources_per_trial) },
        ...{ trials: config.ray_tune.num_samples, resumed: resume !== undefined },
      };
      const sweep = runTrials({ loaded, folder, journal, executor, parentRunId, signal });
      let end: SweepEnd | undefined;
      try {
        while (end === undefined) {
          for (const message of problems.splice(0)) yield { type: "warning", message };
          const next = await sweep.next();
          if (next.done) end = next.value;
          else {
            if (next.value.type === "study") await record.onEvent(next.value.event, next.value.study);
            yield next.value;
          }
        }
      } finally {
        await sweep.return(undefined as never);
      }
      if (end === "interrupted") {
        status = "KILLED";
        return { studyId: folder.studyId, end, study: journal.study, best: undefined };
      }
      const best = await finish(options, { folder, journal, record });
      status = "FINISHED";
      yield { type: "tuned", bundle: best.bundle.directory, config: best.configFile };
      return { studyId: folder.studyId, end, study: journal.study, best };
    } finally {
      const lost = await record.finish(status);
      if (lost > 0) yield { type: "warning", message: `tracking: ${lost} records of the sweep could not be written` };
      for (const message of problems.splice(0)) yield { type: "warning", message };
    }
  } finally {
    clearInterval(touching);
  }
}

interface SweepParts {
  readonly loaded: LoadedConfig;
  readonly folder: StudyFolder;
  readonly journal: StudyJournal;
  readonly executor: TrialExecutor;
  readonly parentRunId: string | undefined;
  readonly signal: AbortSignal;
}

async function* runTrials({ loaded, folder, journal, executor, parentRunId, signal }: SweepParts) {
  const { config } = loaded;
  const yaml = await readStudyConfig(folder);
  const { ray_tune: tuning } = config;
  return yield* tune({
    ...{ journal, executor, signal },
    sampler: configuredSampler(config),
    pruner: configuredPruner(config),
    budget: configuredBudget(config),
    resources: tuning.resources_per_trial,
    seed: config.training.seed,
    maxLosses: tuning.max_failures,
    heartbeatTimeoutMs: 1000 * tuning.heartbeat_timeout_s,
    refuse: (params) => refusalOf(studyConfigFile(folder), params),
    specFile: (jobId, { number }) => join(trialDirectory(folder, number), `${jobId}.json`),
    async prepare({ trial, jobId, until }) {
      const directory = trialDirectory(folder, trial.number);
      await mkdir(directory, { recursive: true });
      await writeTrialSpec(join(directory, `${jobId}.json`), {
        ...{ formatVersion: 1, studyId: folder.studyId, trial: trial.number, directory, config: yaml, until },
        overrides: [...trialOverrides(config, { params: trial.params, directory })],
        ...(parentRunId === undefined ? {} : { parentRunId }),
      });
    },
  });
}

/** Keeps the best trial's model and configuration. */
async function finish(
  { loaded, configFile, now = () => new Date() }: SweepOptions,
  {
    folder,
    journal,
    record,
  }: { readonly folder: StudyFolder; readonly journal: StudyJournal; readonly record: SweepRecord },
): Promise<NonNullable<SweepOutcome["best"]>> {
  const { study } = journal;
  const trial = bestTrial(study);
  if (trial?.bundle === undefined) throw nothingUsable(study);
  const tuned = tunedConfig(studyConfigFile(folder), trial.params);
  const { directory, metadata } = await keepTunedBundle(trial.bundle, {
    root: modelsDirectory(loaded.config),
    name: tuned.model.name,
    endedAt: new Date(trial.endedAt ?? study.lastEventAt),
    now: now(),
  });
  const yaml = `# The best of ${study.trials.length} trials of ${study.studyId}: ${study.metric} ${bestValue(trial, study.direction)}\n${configToYaml(tuned)}`;
  const file = tunedConfigFile(configFile);
  await mkdir(dirname(file), { recursive: true });
  await replaceFile(file, yaml);
  for (const [name, svg] of Object.entries(sweepPlots(study)))
    await replaceFile(join(folder.directory, `${name}.png`), await svgToPng(svg));
  const after = await journal.append({ type: "finished", at: now().getTime(), best: trial.number, bundle: directory });
  await record.keep(after, { bundle: directory, yaml });
  await dropCheckpoints(folder, study);
  return {
    ...{ trial: trial.number, value: bestValue(trial, study.direction)!, params: trial.params, configFile: file },
    bundle: { name: metadata.name, directory },
  };
}

/** Nobody goes on with a trial of a finished sweep: what is left of it are its bundle and its record. */
async function dropCheckpoints(folder: StudyFolder, { trials }: Study): Promise<void> {
  for (const { number } of trials) {
    const runs = join(trialDirectory(folder, number), "runs");
    for (const name of await readdir(runs, { recursive: true }).catch(() => []))
      if (name.endsWith(".safetensors")) await rm(join(runs, name), { force: true });
  }
}

function nothingUsable({ trials, studyId, metric }: Study): PipelineError {
  const failed = trials.filter(({ status }) => status === "failed");
  const why = failed.at(-1)?.error ?? trials.find(({ error }: Trial) => error !== undefined)?.error;
  return new PipelineError(
    "TUNING_FAILED",
    `none of the ${trials.length} trials of ${studyId} came to a model with a value of ${metric}${why === undefined ? "" : `: ${why}`}`,
    { remedy: "correct the search space or the configuration, and start a new study", details: { studyId } },
  );
}

/** Epochs of the longest trial: they may be searched themselves. */
function mostEpochs({ config }: LoadedConfig): number {
  const domain = configuredSpace(config).dimensions["training.num_epochs"]?.domain;
  const { num_epochs: epochs, fast_dev: fast } = config.training;
  const most =
    domain === undefined ? epochs : domain.kind === "range" ? domain.max : Math.max(...domain.values.map(Number));
  return fast ? Math.min(2, most) : most;
}
