import { mkdir, open, readdir, readFile, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { z } from "zod";
import { ignoreMissing, replaceFile } from "../base/durable.ts";
import { isPipelineError, PipelineError } from "../base/errors.ts";
import { isHeld, keepTouched, tryLockFile } from "../base/lock-file.ts";
import { configToYaml } from "../config/flatten.ts";
import type { Config } from "../config/schema.ts";
import { runEnds } from "./run-end.ts";

const recordSchema = z.object({
  formatVersion: z.literal(1),
  runId: z.string(),
  createdAt: z.iso.datetime(),
  // "interrupted" is how runs before version 0.2 say that they were stopped.
  status: z.preprocess((status) => (status === "interrupted" ? "stopped" : status), z.enum(["running", ...runEnds])),
  /** The tracking store could not be told how the run ended. */
  isEndUntold: z.boolean().optional(),
  datasetDigest: z.string().optional(),
  trackingRunId: z.string().optional(),
  bundle: z.string().optional(),
});

/** run.json: what is known of a training run beside its checkpoints. */
export type RunRecord = Readonly<z.infer<typeof recordSchema>>;

/** The folder of one training run: run.json, config.yaml and checkpoints. */
export interface RunFolder {
  readonly directory: string;
  readonly record: RunRecord;
}

const recordFile = "run.json";
const configFile = "config.yaml";
const lockName = "run.lock";
/** Within one block of a disk, so that it is written at once. */
const recordBytes = 1023;
const maxRecordBytes = 1024 * 1024;

export function runsDirectory(config: Config): string {
  return join(config.training.checkpoint_dir, "runs");
}

export function modelsDirectory(config: Config): string {
  return join(config.training.checkpoint_dir, "models");
}

/** The configuration that a run was started with. */
export function runConfigFile({ directory }: RunFolder): string {
  return join(directory, configFile);
}

/** Makes the folder of a new run, named after model and time. */
export async function createRunFolder(config: Config, now: Date): Promise<RunFolder> {
  const root = runsDirectory(config);
  await mkdir(root, { recursive: true });
  const base = `${config.model.name}_${timestamp(now)}`;
  for (let attempt = 1; ; attempt++) {
    const runId = attempt === 1 ? base : `${base}-${attempt}`;
    const directory = join(root, runId);
    try {
      await mkdir(directory);
    } catch (error) {
      // Another run of the same second.
      if ((error as NodeJS.ErrnoException).code === "EEXIST" && attempt < 100) continue;
      throw error;
    }
    const record: RunRecord = { formatVersion: 1, runId, createdAt: now.toISOString(), status: "running" };
    await replaceFile(join(directory, configFile), configToYaml(config));
    await writeRecord(directory, record);
    return { directory, record };
  }
}

export async function updateRun(run: RunFolder, change: Partial<RunRecord>): Promise<RunFolder> {
  const { isEndUntold: _, ...before } = run.record;
  const record = { ...before, ...change };
  await writeRecord(run.directory, record);
  return { ...run, record };
}

/**
 * A run that can be resumed: by its id, by the id that the tracking store gave it, by its folder, or the one started
 * "last".
 * @throws RUN_NOT_FOUND, RESUME_REFUSED for a finished run
 */
export async function findRun(root: string, wanted: string): Promise<RunFolder> {
  const runs = await listRuns(root);
  const place = resolve(wanted);
  const isWanted = ({ directory, record }: RunFolder): boolean =>
    record.runId === wanted || record.trackingRunId === wanted || resolve(directory) === place;
  const run = wanted === "last" ? runs[0] : (runs.find(isWanted) ?? (await readRun(place)));
  if (run === undefined) {
    const some = runs.slice(0, 5).map(({ record }) => record.runId);
    throw new PipelineError(
      "RUN_NOT_FOUND",
      wanted === "last" ? `there is no run in ${root}` : `there is no run ${wanted} in ${root}`,
      {
        remedy:
          some.length === 0
            ? "start one without --resume, or name its folder with --set training.checkpoint_dir=PATH"
            : `the latest are ${some.join(", ")}`,
        details: { root, wanted },
      },
    );
  }
  if (run.record.status === "finished") {
    const unfinished = runs.find(({ record }) => record.status !== "finished")?.record.runId;
    throw new PipelineError("RESUME_REFUSED", `run ${run.record.runId} is finished: there is nothing to resume`, {
      remedy: unfinished === undefined ? "start a new run" : `start a new run, or resume the unfinished ${unfinished}`,
      details: { runId: run.record.runId, bundle: run.record.bundle },
    });
  }
  return run;
}

/** The run that was started last, finished or not. */
export async function latestRun(root: string): Promise<RunFolder | undefined> {
  return (await listRuns(root))[0];
}

/** The run that was started last, unless it has finished. */
export async function unfinishedRun(root: string): Promise<RunFolder | undefined> {
  const latest = await latestRun(root);
  return latest?.record.status === "finished" ? undefined : latest;
}

async function readRun(directory: string): Promise<RunFolder | undefined> {
  const record = await readRecord(directory);
  return record === undefined ? undefined : { directory, record };
}

/** Latest first; folders without a readable run.json are left out. */
export async function listRuns(root: string): Promise<readonly RunFolder[]> {
  const names = await readdir(root).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  const runs: RunFolder[] = [];
  for (const name of names) {
    const run = await readRun(join(root, name));
    if (run !== undefined) runs.push(run);
  }
  return runs.sort(
    (a, b) =>
      Date.parse(b.record.createdAt) - Date.parse(a.record.createdAt) || (a.record.runId < b.record.runId ? 1 : -1),
  );
}

/** Between two signs of life of a run that is being trained; a lock of another host lasts six times as long. */
const beatMs = 10_000;

/**
 * Keeps other processes off a run while this one trains it. A lock whose process is gone counts for nothing.
 * @throws RESUME_REFUSED when another process has it
 */
export async function lockRun({ directory, record }: RunFolder): Promise<AsyncDisposable> {
  const path = join(directory, lockName);
  const lock = await tryLockFile(path, { staleMs: 6 * beatMs });
  if (!isHeld(lock)) {
    const { pid, host } = lock;
    throw new PipelineError("RESUME_REFUSED", `run ${record.runId} is being trained by process ${pid} of ${host}`, {
      remedy: `wait until it ends, or stop it; if it is not there any more, delete ${path}`,
      details: { pid, host, path },
    });
  }
  return keepTouched(lock, beatMs);
}

/** The lock of a run that nobody trains although it says so; one that has only just been made may not be locked yet. */
export async function lockAbandoned({ directory, record }: RunFolder, now: Date): Promise<AsyncDisposable | undefined> {
  const path = join(directory, lockName);
  const isLocked = (await stat(path).catch(ignoreMissing)) !== undefined;
  if (!isLocked && now.getTime() - Date.parse(record.createdAt) < 6 * beatMs) return undefined;
  const lock = await tryLockFile(path, { staleMs: 6 * beatMs });
  if (!isHeld(lock)) return undefined;
  // Between the look at the record and the lock somebody may have trained it to its end.
  if ((await readRecord(directory))?.status === "running") return lock;
  await lock[Symbol.asyncDispose]();
  return undefined;
}

async function readRecord(directory: string): Promise<RunRecord | undefined> {
  const path = join(directory, recordFile);
  const info = await stat(path).catch(() => undefined);
  if (info === undefined || !info.isFile() || info.size > maxRecordBytes) return undefined;
  try {
    const parsed = recordSchema.safeParse(JSON.parse(await readFile(path, "utf8")));
    return parsed.success ? parsed.data : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

async function writeRecord(directory: string, record: RunRecord): Promise<void> {
  const path = join(directory, recordFile);
  // The blanks leave room for the words of another status.
  const text = Buffer.from(`${JSON.stringify(record, undefined, 2).padEnd(recordBytes)}\n`);
  try {
    await replaceFile(path, text);
  } catch (error) {
    // On a full disk there is no room for a second file, but the first one can still tell how the run ended.
    if (!isPipelineError(error, "STORAGE_FAILED") || (await stat(path).catch(ignoreMissing))?.size !== text.length)
      throw error;
    await using file = await open(path, "r+");
    await file.write(text, 0, text.length, 0);
    await file.sync();
  }
}

/** 20260131-235959, in UTC. */
export function timestamp(now: Date): string {
  return now.toISOString().slice(0, 19).replaceAll(/[-:]/g, "").replace("T", "-");
}
