import { mkdir, readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { replaceFile } from "../base/durable.ts";
import { PipelineError } from "../base/errors.ts";
import { type HeldLock, lockFile } from "../base/lock-file.ts";
import type { Config } from "../config/schema.ts";
import { readStudy } from "../tuning/journal.ts";
import { timestamp } from "./run-folder.ts";

/** The folder of one sweep: journal, configuration, and a folder for each trial. */
export interface StudyFolder {
  readonly studyId: string;
  readonly directory: string;
}

const configFile = "config.yaml";

export function studiesDirectory({ training }: Config): string {
  return join(training.checkpoint_dir, "studies");
}

export function studyConfigFile({ directory }: StudyFolder): string {
  return join(directory, configFile);
}

/** Absolute: a trial may run in another working folder. */
export function trialDirectory({ directory }: StudyFolder, trial: number): string {
  return resolve(directory, "trials", String(trial).padStart(4, "0"));
}

/** Makes the folder of a new sweep, named after its time. */
export async function createStudyFolder(root: string, yaml: string, now: Date): Promise<StudyFolder> {
  await mkdir(root, { recursive: true });
  const base = `study_${timestamp(now)}`;
  for (let attempt = 1; ; attempt++) {
    const studyId = attempt === 1 ? base : `${base}-${attempt}`;
    const directory = join(root, studyId);
    try {
      await mkdir(directory);
    } catch (error) {
      // Another sweep of the same second.
      if ((error as NodeJS.ErrnoException).code === "EEXIST" && attempt < 100) continue;
      throw error;
    }
    const folder = { studyId, directory };
    await replaceFile(studyConfigFile(folder), yaml);
    return folder;
  }
}

/**
 * A sweep that can be resumed: by its id, or the one started "last".
 * @throws STUDY_NOT_FOUND, RESUME_REFUSED for a finished one
 */
export async function findStudy(root: string, wanted: string): Promise<StudyFolder> {
  const names = (await readdir(root).catch(() => [])).filter((name) => name.startsWith("study_")).sort();
  const studyId = wanted === "last" ? names.at(-1) : names.find((name) => name === wanted);
  if (studyId === undefined) {
    const some = names.slice(-5).reverse().join(", ");
    throw new PipelineError("STUDY_NOT_FOUND", `there is no study ${wanted === "last" ? "" : `${wanted} `}in ${root}`, {
      remedy: some === "" ? "start one with `cifar tune`" : `the latest are ${some}`,
      details: { root, wanted },
    });
  }
  const directory = join(root, studyId);
  const { finished } = await readStudy(directory);
  if (finished !== undefined) {
    throw new PipelineError("RESUME_REFUSED", `study ${studyId} is finished: there is nothing to resume`, {
      remedy: "start a new one",
      details: { studyId, bundle: finished.bundle },
    });
  }
  return { studyId, directory };
}

export function readStudyConfig(folder: StudyFolder): Promise<string> {
  return readFile(studyConfigFile(folder), "utf8");
}

/** Keeps other tuners off a sweep. @throws STUDY_BUSY */
export async function lockStudy({ studyId, directory }: StudyFolder): Promise<HeldLock> {
  const path = join(directory, "study.lock");
  try {
    return await lockFile(path, { signal: AbortSignal.timeout(2000), staleMs: 60_000 });
  } catch (cause) {
    if (cause instanceof PipelineError) throw cause;
    throw new PipelineError("STUDY_BUSY", `another process works on study ${studyId}`, {
      remedy: `wait until it ends, or stop it; if no such process is there, delete ${path}`,
      details: { studyId, path },
      cause,
    });
  }
}
