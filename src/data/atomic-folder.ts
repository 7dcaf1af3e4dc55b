import { randomBytes } from "node:crypto";
import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { syncFolder } from "../base/durable.ts";

/** Leftovers of killed processes are removed when they are older than this. */
const staleAfterMs = 60 * 60 * 1000;

/**
 * Fills a temporary folder beside `target` and renames it when `fill` has succeeded: `target` is either whole or
 * absent, also after a crash. A `target` that is there already is replaced.
 */
export async function writeFolderAtomically<T>(target: string, fill: (folder: string) => Promise<T>): Promise<T> {
  const parent = dirname(target);
  const prefix = `${basename(target)}.tmp-`;
  await mkdir(parent, { recursive: true });
  await removeStale(parent, prefix);
  const temporary = join(parent, `${prefix}${process.pid}-${randomBytes(4).toString("hex")}`);
  await mkdir(temporary);
  try {
    const result = await fill(temporary);
    await syncFolder(temporary);
    await rm(target, { recursive: true, force: true });
    await rename(temporary, target);
    await syncFolder(parent);
    return result;
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

async function removeStale(parent: string, prefix: string): Promise<void> {
  for (const name of await readdir(parent)) {
    if (!name.startsWith(prefix)) continue;
    const path = join(parent, name);
    const info = await stat(path).catch(() => undefined);
    if (info !== undefined && Date.now() - info.mtimeMs > staleAfterMs) {
      await rm(path, { recursive: true, force: true });
    }
  }
}
