import { randomBytes } from "node:crypto";
import { readFile, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { replaceFile } from "../../base/durable.ts";
import { PipelineError } from "../../base/errors.ts";
import { lockFile } from "../../base/lock-file.ts";

export interface FileEdit {
  readonly path: string;
  /** The new text; what it throws leaves everything as it is. Called again when the file has changed meanwhile. */
  readonly change: (text: string) => string;
  /** Takes the change out of a text that somebody else has gone on changing; `before` is the text that it was made to. */
  readonly undo: (text: string, before: string) => string;
  /** Checks a file before it is put in force; throws. Returns what could not be looked at. */
  readonly check: (path: string) => Promise<readonly string[]>;
  /**
   * Puts the file in force and makes sure that it is; throws when it is refused or something else runs. Returns what could
   * not be verified because nobody answered.
   */
  readonly activate: (text: string) => Promise<readonly string[]>;
}

export interface EditResult {
  readonly outcome: "applied" | "unchanged";
  /** Whether the program that loads the file is known to run it. */
  readonly inForce: boolean;
  /** What could not be looked at, in words for people. */
  readonly unverified: readonly string[];
  /** The file was changed by somebody else during this change, whose work is kept. */
  readonly editedMeanwhile: boolean;
}

/** Longer than a change and its way back take with programs that answer nothing. */
const staleMs = 300_000;

/** How often a change is made anew when somebody else writes at the same time. */
const attempts = 5;

/**
 * Changes a file that a running program has loaded: one at a time, checked before it is written, written as a whole,
 * loaded and looked at, and put back when it is refused. An edit by hand in between is noticed and kept. A program that
 * is away can't refuse: the change stays, and what could not be verified is said.
 * @throws what `change` throws, ALERT_CHANGE_FAILED
 */
export async function editFile({ path, change, undo, check, activate }: FileEdit): Promise<EditResult> {
  await using _lock = await lockFile(`${path}.lock`, { staleMs, pollMs: 20 });
  for (let attempt = 0; attempt < attempts; attempt++) {
    const before = await readFile(path, "utf8");
    const after = change(before);
    const editedMeanwhile = attempt > 0;
    if (after === before) {
      // Once more in force: an earlier change may have met a program that was away.
      const unverified = await activated(path, activate(after));
      return { outcome: "unchanged", inForce: unverified.length === 0, unverified, editedMeanwhile };
    }
    const unchecked = await checked(path, after, check);
    if ((await readFile(path, "utf8")) !== before) continue;
    await replaceFile(path, after);
    try {
      const unverified = await activate(after);
      const inForce = unverified.length === 0;
      return { outcome: "applied", inForce, unverified: [...unchecked, ...unverified], editedMeanwhile };
    } catch (cause) {
      return await putBack({ path, undo, activate, before, after, cause });
    }
  }
  throw failed(`${basename(path)} was not changed`, new Error("somebody else keeps changing it; try again"));
}

/** The check of a text that does not stand in its place yet. */
async function checked(path: string, text: string, check: FileEdit["check"]): Promise<readonly string[]> {
  // Beside the file, so that paths within it mean the same.
  const candidate = join(dirname(path), `.${basename(path)}.${randomBytes(4).toString("hex")}.tmp`);
  try {
    const { mode } = await stat(path);
    await writeFile(candidate, text, { flag: "wx", mode: mode & 0o777 });
    return await check(candidate);
  } catch (cause) {
    throw failed(`the changed ${basename(path)} did not pass its check; nothing was changed`, cause);
  } finally {
    await rm(candidate, { force: true });
  }
}

async function activated(path: string, work: Promise<readonly string[]>): Promise<readonly string[]> {
  try {
    return await work;
  } catch (cause) {
    throw failed(`${basename(path)} has these values already, but is not in force`, cause);
  }
}

interface Way {
  readonly path: string;
  readonly undo: FileEdit["undo"];
  readonly activate: FileEdit["activate"];
  readonly before: string;
  readonly after: string;
  readonly cause: unknown;
}

async function putBack({ path, undo, activate, before, after, cause }: Way): Promise<never> {
  const name = basename(path);
  const refused = `the changed ${name} could not be put in force`;
  let unverified: readonly string[];
  const now = await readFile(path, "utf8");
  const edited = now === after ? "" : " with what somebody else has changed meanwhile";
  let restored: string;
  try {
    restored = now === after ? before : undo(now, before);
  } catch (second) {
    const why = new AggregateError([cause, second], `${reason(cause)}; ${reason(second)}`);
    throw failed(`${refused}, nor taken back, because somebody else has changed it meanwhile: repair it by hand`, why);
  }
  try {
    await replaceFile(path, restored);
    unverified = await activate(restored);
  } catch (second) {
    const why = new AggregateError([cause, second], reason(second));
    throw failed(`${refused}; the old file is back${edited} but not loaded`, why);
  }
  const loaded = unverified.length === 0 ? "and loaded" : `but perhaps not loaded (${unverified.join("; ")})`;
  throw failed(`${refused}; the old one is back${edited} ${loaded}`, cause);
}

function failed(message: string, cause: unknown): PipelineError {
  return new PipelineError("ALERT_CHANGE_FAILED", `${message}: ${reason(cause)}`, { cause });
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
