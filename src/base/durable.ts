import { randomBytes } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { storageError } from "./storage-error.ts";

/** Files that are whole or absent, also after a crash: written, flushed to the disk, renamed. */

/** Writes a new file and flushes it to the disk. @throws STORAGE_FAILED */
export async function writeFileDurably(path: string, data: string | Uint8Array): Promise<void> {
  try {
    await using file = await open(path, "wx");
    await file.writeFile(data);
    await file.sync();
  } catch (error) {
    throw storageError(error, path) ?? error;
  }
}

/** Puts a whole file in the place of an old one, if there is one; at no moment half of it is there. */
export async function replaceFile(path: string, data: string | Uint8Array): Promise<void> {
  const temporary = `${path}.${process.pid}-${randomBytes(4).toString("hex")}.tmp`;
  try {
    await writeFileDurably(temporary, data);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
}

/** Makes renames in a folder durable; Windows has no way to and needs none. */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === "win32") return;
  await using folder = await open(path, "r");
  await folder.sync();
}

/** True for an error that says that a file or a folder of its path is not there. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}
