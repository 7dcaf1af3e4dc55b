import { randomBytes } from "node:crypto";
import { readFile, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { replaceFile } from "../../base/durable.ts";
import { PipelineError } from "../../base/errors.ts";
import { lockFile } from "../../base/lock-file.ts";

export interface FileEdit {
  readonly path: string;
  /** The new text; what it throws leaves everything as it is. */
  readonly change: (text: string) => string;
  /** Checks a file before it is put in force; throws. */
  readonly check: (path: string) => Promise<void>;
  /** Puts the file in force and makes sure that it is; throws. */
  readonly activate: (text: string) => Promise<void>;
}

/**
 * Changes a file that a running program has loaded: one at a time, checked before it is written, written as a whole,
 * loaded and looked at, and put back when anything fails.
 * @throws what `change` throws, ALERT_CHANGE_FAILED
 */
export async function editFile({ path, change, check, activate }: FileEdit): Promise<"applied" | "unchanged"> {
  await using _lock = await lockFile(`${path}.lock`, { staleMs: 60_000, pollMs: 20 });
  const before = await readFile(path, "utf8");
  const after = change(before);
  if (after === before) return "unchanged";

  // Beside the file, so that paths within it mean the same.
  const candidate = join(dirname(path), `.${basename(path)}.${randomBytes(4).toString("hex")}.tmp`);
  try {
    await writeFile(candidate, after, { flag: "wx" });
    await check(candidate);
  } catch (cause) {
    throw failed(`the changed ${basename(path)} did not pass its check; nothing was changed`, cause);
  } finally {
    await rm(candidate, { force: true });
  }

  await replaceFile(path, after);
  try {
    await activate(after);
    return "applied";
  } catch (cause) {
    await replaceFile(path, before);
    try {
      await activate(before);
    } catch (second) {
      const message = `the changed ${basename(path)} could not be put in force; the old file is back but not loaded`;
      throw failed(message, new AggregateError([cause, second], reason(second)));
    }
    throw failed(`the changed ${basename(path)} could not be put in force; the old one is back and loaded`, cause);
  }
}

function failed(message: string, cause: unknown): PipelineError {
  return new PipelineError("ALERT_CHANGE_FAILED", `${message}: ${reason(cause)}`, { cause });
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
