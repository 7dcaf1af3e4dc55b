import { type FileHandle, mkdir, open, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isMissing, syncFolder } from "../base/durable.ts";
import { PipelineError } from "../base/errors.ts";
import { storageError } from "../base/storage-error.ts";
import { applyEvent, type Study, startStudy } from "./study.ts";
import { parseStudyEvent, type StudyEvent, type StudyHead } from "./study-event.ts";

const journalFile = "journal.jsonl";

/**
 * A study on disk: one line for each event, flushed before it counts. What `append` has resolved survives the death of
 * process and machine; half a line at the end, from a death in the middle of a write, is cut off at the next opening.
 */
export interface StudyJournal extends AsyncDisposable {
  readonly study: Study;
  append(event: Exclude<StudyEvent, StudyHead>): Promise<Study>;
}

/** @throws STORAGE_FAILED, STUDY_EXISTS */
export async function createJournal(directory: string, head: StudyHead): Promise<StudyJournal> {
  await mkdir(directory, { recursive: true });
  const path = join(directory, journalFile);
  const file = await open(path, "ax").catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "EEXIST")
      throw new PipelineError("STUDY_EXISTS", `there is a study in ${directory} already`, {
        remedy: "resume it, or choose another folder",
        details: { directory },
      });
    throw storageError(error, path) ?? error;
  });
  await writeLine(file, path, head);
  await syncFolder(directory);
  await syncFolder(dirname(directory));
  return journalOf(file, path, startStudy(head));
}

/** @throws STUDY_NOT_FOUND, STUDY_DAMAGED, STORAGE_FAILED */
export async function openJournal(directory: string): Promise<StudyJournal> {
  const path = join(directory, journalFile);
  const { study, wholeBytes } = await load(directory);
  const file = await open(path, "r+").catch((error: unknown) => {
    throw storageError(error, path) ?? error;
  });
  await file.truncate(wholeBytes);
  await file.close();
  return journalOf(await open(path, "a"), path, study);
}

/** The state of a study, without opening it for writing: also while a tuner works on it. */
export async function readStudy(directory: string): Promise<Study> {
  return (await load(directory)).study;
}

async function load(directory: string): Promise<{ readonly study: Study; readonly wholeBytes: number }> {
  const path = join(directory, journalFile);
  const bytes = await readFile(path).catch((error: unknown) => {
    if (!isMissing(error)) throw storageError(error, path) ?? error;
    throw new PipelineError("STUDY_NOT_FOUND", `there is no study in ${directory}`, { details: { directory } });
  });
  const wholeBytes = bytes.lastIndexOf(10) + 1;
  const lines = bytes.subarray(0, wholeBytes).toString("utf8").split("\n").slice(0, -1);
  let study: Study | undefined;
  for (const [index, line] of lines.entries()) {
    const event = parseStudyEvent(line);
    if (event === undefined || (index === 0) !== (event.type === "study"))
      throw new PipelineError("STUDY_DAMAGED", `line ${index + 1} of ${path} is no event of a study`, {
        remedy: "start a new study; the journal can be read as text",
        details: { path, line: index + 1 },
      });
    study = study === undefined ? startStudy(event as StudyHead) : applyEvent(study, event);
  }
  if (study === undefined)
    throw new PipelineError("STUDY_DAMAGED", `${path} is empty`, { remedy: "start a new study", details: { path } });
  return { study, wholeBytes };
}

function journalOf(file: FileHandle, path: string, initial: Study): StudyJournal {
  let study = initial;
  let writing: Promise<unknown> = Promise.resolve();
  return {
    get study() {
      return study;
    },
    append(event) {
      const next = writing.then(async () => {
        const after = applyEvent(study, event);
        await writeLine(file, path, event);
        study = after;
        return study;
      });
      // One line after the other; a failure is told to the caller whose line it was.
      writing = next.catch(() => undefined);
      return next;
    },
    async [Symbol.asyncDispose]() {
      await writing;
      await file.close();
    },
  };
}

async function writeLine(file: FileHandle, path: string, event: StudyEvent): Promise<void> {
  try {
    await file.appendFile(`${JSON.stringify(event)}\n`);
    await file.datasync();
  } catch (error) {
    throw storageError(error, path) ?? error;
  }
}
