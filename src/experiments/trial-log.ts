import { mkdir, open, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { isMissing } from "../base/durable.ts";
import { storageError } from "../base/storage-error.ts";
import { formatTrialMessage, parseTrialMessage, type TrialMessage } from "../tuning/trial-message.ts";

/** What a trial has said so far, on disk. */
export interface TrialLog extends AsyncDisposable {
  /** Of earlier processes. */
  readonly earlier: readonly TrialMessage[];
  /** Resolves when the message is on the disk. */
  append(message: TrialMessage): Promise<void>;
}

export async function openTrialLog(path: string): Promise<TrialLog> {
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    if (isMissing(error)) return "";
    throw storageError(error, path) ?? error;
  });
  const earlier = text.split("\n").flatMap((line) => parseTrialMessage(line) ?? []);
  await mkdir(dirname(path), { recursive: true });
  const file = await open(path, "a");
  // A process that was killed in the middle of a line: the next one begins on its own.
  if (text !== "" && !text.endsWith("\n")) await file.appendFile("\n");
  return {
    earlier,
    async append(message) {
      try {
        await file.appendFile(`${formatTrialMessage(message)}\n`);
        await file.datasync();
      } catch (error) {
        throw storageError(error, path) ?? error;
      }
    },
    [Symbol.asyncDispose]: () => file.close(),
  };
}
