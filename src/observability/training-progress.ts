import { mkdir, readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { z } from "zod";
import { isMissing, replaceFile } from "../base/durable.ts";
import type { MetricSource } from "./instruments.ts";
import { setCounter } from "./instruments.ts";

const figure = z.number().nullable();
const count = z.int().nonnegative();

/** What trainings and tunings of this machine tell the service: one small file, replaced as a whole. */
const trainingProgressSchema = z.object({
  state: z.enum(["running", "completed", "stopped", "failed"]),
  /** Seconds since 1970. */
  updatedAt: z.number(),
  epoch: count,
  /** Absent in files of older versions. */
  step: count.default(0),
  epochsPlanned: count,
  trainLoss: figure,
  trainAccuracy: figure,
  validationLoss: figure,
  validationAccuracy: figure,
  learningRate: figure,
  imagesPerSecond: figure,
  /** Ended trainings, ever. */
  runs: z.object({ completed: count, stopped: count, failed: count }),
  tuning: z
    .object({
      trials: z.object({ running: count, completed: count, pruned: count, failed: count }),
      bestValue: figure,
    })
    .optional(),
});

export type TrainingProgress = z.infer<typeof trainingProgressSchema>;
type Outcome = keyof TrainingProgress["runs"];

/** A running training that says nothing for so long is dead. */
const silentAfterSeconds = 600;

/** Undefined where no training has reported yet, or the file is not ours. */
async function readTrainingProgress(path: string): Promise<TrainingProgress | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  return parseProgress(text);
}

function parseProgress(text: string): TrainingProgress | undefined {
  try {
    return trainingProgressSchema.safeParse(JSON.parse(text)).data;
  } catch (error) {
    // A file that is no JSON holds no progress; the next report replaces it.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

export interface TrainingReporter {
  /** Changes some of the figures; written at most every `intervalMs`, and always with `end`. */
  report(change: Partial<Omit<TrainingProgress, "state" | "updatedAt" | "runs">>): void;
  end(outcome: Outcome): Promise<void>;
}

export interface TrainingReporterOptions {
  readonly path: string;
  /** Told once when the file can't be written: the training goes on without it. */
  readonly onProblem: (error: unknown) => void;
  readonly intervalMs?: number;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** Tells the service how a training goes. */
export async function createTrainingReporter({
  path,
  onProblem,
  intervalMs = 2000,
  now = Date.now,
}: TrainingReporterOptions): Promise<TrainingReporter> {
  let broken = false;
  const attempt = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      if (!broken) onProblem(error);
      broken = true;
    }
  };
  let runs: TrainingProgress["runs"] = { completed: 0, stopped: 0, failed: 0 };
  await attempt(async () => {
    await mkdir(dirname(path), { recursive: true });
    runs = (await readTrainingProgress(path))?.runs ?? runs;
  });
  let progress: TrainingProgress = {
    state: "running",
    updatedAt: now() / 1000,
    epoch: 0,
    step: 0,
    epochsPlanned: 0,
    trainLoss: null,
    trainAccuracy: null,
    validationLoss: null,
    validationAccuracy: null,
    learningRate: null,
    imagesPerSecond: null,
    runs,
  };
  let writing = Promise.resolve();
  let writtenAt = Number.NEGATIVE_INFINITY;
  const write = (): Promise<void> => {
    writtenAt = now();
    const text = `${JSON.stringify({ ...progress, updatedAt: writtenAt / 1000 })}\n`;
    writing = writing.then(() => attempt(() => replaceFile(path, text)));
    return writing;
  };
  return {
    report(change) {
      progress = { ...progress, ...change };
      if (now() - writtenAt >= intervalMs) void write();
    },
    async end(outcome) {
      progress = { ...progress, state: outcome, runs: { ...runs, [outcome]: runs[outcome] + 1 } };
      await write();
    },
  };
}

/** The last report as metrics; the file is read again only when it has changed. */
export function trainingMetrics(path: string, { now = Date.now }: { readonly now?: () => number } = {}): MetricSource {
  let last: { readonly mtimeMs: number; readonly progress: TrainingProgress | undefined } | undefined;
  const current = async (): Promise<TrainingProgress | undefined> => {
    try {
      const { mtimeMs } = await stat(path);
      if (last?.mtimeMs !== mtimeMs) last = { mtimeMs, progress: await readTrainingProgress(path) };
      return last.progress;
    } catch {
      // No file, or no right to read it: no figures.
      return undefined;
    }
  };
  return async (instruments) => {
    const progress = await current();
    const running = progress?.state === "running";
    const silent = running && now() / 1000 - progress.updatedAt > silentAfterSeconds;
    instruments.training_in_progress.set(running && !silent ? 1 : 0);
    instruments.training_last_run_failed.set(progress?.state === "failed" || silent ? 1 : 0);
    if (progress === undefined) return;
    instruments.training_epoch.set(progress.epoch);
    instruments.training_step.set(progress.step);
    instruments.training_epochs_planned.set(progress.epochsPlanned);
    instruments.training_loss.set({ split: "train" }, progress.trainLoss ?? Number.NaN);
    instruments.training_loss.set({ split: "validation" }, progress.validationLoss ?? Number.NaN);
    instruments.training_accuracy_ratio.set({ split: "train" }, progress.trainAccuracy ?? Number.NaN);
    instruments.training_accuracy_ratio.set({ split: "validation" }, progress.validationAccuracy ?? Number.NaN);
    instruments.training_learning_rate.set(progress.learningRate ?? Number.NaN);
    instruments.training_images_per_second.set(progress.imagesPerSecond ?? Number.NaN);
    instruments.training_last_update_timestamp_seconds.set(progress.updatedAt);
    setCounter(
      instruments.training_runs_total,
      Object.entries(progress.runs).map(([outcome, total]) => [{ outcome }, total] as const),
    );
    if (progress.tuning === undefined) return;
    for (const [state, trials] of Object.entries(progress.tuning.trials)) {
      instruments.tuning_trials.set({ state }, trials);
    }
    instruments.tuning_best_value.set(progress.tuning.bestValue ?? Number.NaN);
  };
}
