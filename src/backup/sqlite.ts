import { open } from "node:fs/promises";
import Database from "libsql";
import { isMissing } from "../base/durable.ts";
import { PipelineError } from "../base/errors.ts";

const magic = Buffer.from("SQLite format 3\0");

/** How long a copy waits for another connection's lock. */
const busyTimeoutMs = 30_000;

/** Files beside a database, which its copy has in itself. */
export function isBesideDatabase(path: string, databases: ReadonlySet<string>): boolean {
  const [, main] = /^(.*)-(?:wal|shm|journal)$/.exec(path) ?? [];
  return main !== undefined && databases.has(main);
}

export async function isDatabase(path: string): Promise<boolean> {
  await using file = await open(path, "r").catch((error: unknown) => {
    if (isMissing(error)) return null;
    throw error;
  });
  if (file === null) return false;
  const { bytesRead, buffer } = await file.read(Buffer.alloc(magic.length), 0, magic.length, 0);
  return bytesRead === magic.length && buffer.equals(magic);
}

/**
 * A copy of a database as one moment has it, with every commit before; others go on reading and writing. It blocks this
 * thread.
 * @throws BACKUP_FAILED
 */
export function copyDatabase(from: string, to: string): void {
  try {
    const database = new Database(from, { timeout: busyTimeoutMs });
    try {
      database.prepare("VACUUM INTO ?").run(to);
    } finally {
      database.close();
    }
    const copy = new Database(to, { readonly: true });
    try {
      const [found] = copy.prepare("PRAGMA quick_check").raw().all() as [unknown][];
      if (String(found) !== "ok") throw new Error(`its copy is damaged: ${String(found)}`);
    } finally {
      copy.close();
    }
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new PipelineError("BACKUP_FAILED", `the database ${from} can't be copied: ${message}`, {
      cause,
      remedy: "check that it is a sound SQLite file and that the disk has room",
      details: { path: from },
    });
  }
}
