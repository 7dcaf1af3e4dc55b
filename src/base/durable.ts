import { randomBytes } from "node:crypto";
import type { Stats } from "node:fs";
import { chmod, lstat, open, realpath, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { PipelineError } from "./errors.ts";
import { storageError } from "./storage-error.ts";

/** Files that are whole or absent, also after a crash: written, flushed to the disk, renamed. */

/** Writes a new file, part after part, and flushes it to the disk. @throws STORAGE_FAILED */
export async function writeFileDurably(
  path: string,
  data: string | Uint8Array | readonly Uint8Array[],
  { mode = 0o666 }: { readonly mode?: number } = {},
): Promise<void> {
  try {
    await using file = await open(path, "wx", mode);
    await writeFile(file, data);
    await file.sync();
  } catch (error) {
    throw storageError(error, path) ?? error;
  }
}

/**
 * Puts a whole file in the place of an old one, if there is one; at no moment half of it is there. A link stays, and the
 * file that it leads to is replaced. The rights of the old file stay: what only its owner may read, nobody else reads.
 * @throws STORAGE_FAILED, also where a device, a folder or anything else that is no regular file has the name
 */
export async function replaceFile(path: string, data: string | Uint8Array): Promise<void> {
  const obstacle = await obstacleTo(path);
  if (obstacle !== undefined) {
    throw new PipelineError("STORAGE_FAILED", `${JSON.stringify(path)} can't be written: ${obstacle}`, {
      remedy: "name a file in a folder that is there",
      details: { path },
    });
  }
  const target = (await kindOf(path)) === undefined ? path : await realpath(path);
  const old = await stat(target).catch(ignoreMissing);
  const temporary = `${target}.${process.pid}-${randomBytes(4).toString("hex")}.tmp`;
  try {
    // Never wider than in the end; chmod because the process may mask some of the rights.
    await writeFileDurably(temporary, data, old === undefined ? {} : { mode: old.mode & 0o777 });
    if (old !== undefined) await chmod(temporary, old.mode & 0o777);
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    throw storageError(error, path) ?? error;
  }
  await syncFolder(dirname(target));
}

/** Why `replaceFile` would refuse a path, whatever the rights and the room on the disk are; undefined where it wouldn't. */
export async function obstacleTo(path: string): Promise<string | undefined> {
  if (path === "") return "the name is empty";
  const kind = await kindOf(path);
  if (kind === "file") return undefined;
  if (kind !== undefined) return `it is a ${kind}, no regular file`;
  if (/[\\/]$/.test(path)) return "it is the name of a folder";
  const link = await lstat(path).catch(ignoreMissing);
  if (link !== undefined) return "it is a link to what is not there";
  const parent = dirname(path);
  const above = await kindOf(parent);
  if (above === undefined) return `there is no folder ${parent}`;
  return above === "folder" ? undefined : `${parent} is a ${above}, no folder`;
}

/** What is at a path, behind links; undefined for nothing. */
async function kindOf(path: string): Promise<string | undefined> {
  const info: Stats | undefined = await stat(path).catch(ignoreMissing);
  if (info === undefined) return undefined;
  if (info.isFile()) return "file";
  if (info.isDirectory()) return "folder";
  if (info.isFIFO()) return "pipe";
  return info.isSocket() ? "socket" : "device";
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

/** For a look at what may not be there: undefined instead of the error. */
export function ignoreMissing(error: unknown): undefined {
  if (!isMissing(error)) throw error;
  return undefined;
}
