import { randomBytes } from "node:crypto";
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

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

/** Writes a new file and flushes it to the disk. */
export async function writeFileDurably(path: string, data: string | Uint8Array): Promise<void> {
  await using file = await open(path, "wx");
  await file.writeFile(data);
  await file.sync();
}

/** Makes renames in a folder durable; Windows has no way to and needs none. */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === "win32") return;
  await using folder = await open(path, "r");
  await folder.sync();
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
