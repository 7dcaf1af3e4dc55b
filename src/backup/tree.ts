import { createHash } from "node:crypto";
import { constants, type Dirent } from "node:fs";
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { ignoreMissing, isMissing } from "../base/durable.ts";

export interface Tree {
  /** Paths below the root, with "/". */
  readonly files: readonly string[];
  /** What can't be part of a copy. */
  readonly leftOut: readonly { readonly path: string; readonly reason: string }[];
}

/** Files in the making, and locks of processes that are not there any more when a copy is used. */
const passing = /\.(tmp|lock)$/;

/**
 * All files of a folder; an empty tree where there is none.
 * @param skip paths below the root that are left out with all that they have
 */
export async function listTree(root: string, skip: ReadonlySet<string> = new Set()): Promise<Tree> {
  const files: string[] = [];
  const leftOut: { path: string; reason: string }[] = [];
  const visit = async (below: string): Promise<void> => {
    const entries: Dirent[] = (await readdir(join(root, below), { withFileTypes: true }).catch(ignoreMissing)) ?? [];
    for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = below === "" ? entry.name : `${below}/${entry.name}`;
      if (skip.has(path) || passing.test(entry.name)) continue;
      if (entry.isDirectory()) await visit(path);
      else if (entry.isFile()) files.push(path);
      else leftOut.push({ path, reason: entry.isSymbolicLink() ? "it is a link" : "it is no regular file" });
    }
  };
  await visit("");
  return { files, leftOut };
}

export interface CopiedFile {
  readonly size: number;
  readonly sha256: string;
  readonly mode: number;
}

const chunkBytes = 1 << 20;

/**
 * Copies a file as long as it was when it was opened, and flushes the copy to the disk. One that others replace meanwhile
 * is copied whole as it was.
 * @param mode rights of the copy; default: those of the file
 * @returns undefined where there is no such file any more
 */
export async function copyFile(
  from: string,
  to: string,
  { mode, signal }: { readonly mode?: number; readonly signal?: AbortSignal | undefined } = {},
): Promise<CopiedFile | undefined> {
  await using input = await open(from, constants.O_RDONLY | constants.O_NOFOLLOW).catch((error: unknown) => {
    if (isMissing(error)) return null;
    throw error;
  });
  if (input === null) return undefined;
  const info = await input.stat();
  if (!info.isFile()) return undefined;
  const rights = mode ?? info.mode & 0o777;
  await using output = await open(to, "wx", rights | 0o600);
  const hash = createHash("sha256");
  const buffer = Buffer.allocUnsafe(chunkBytes);
  let size = 0;
  while (size < info.size) {
    signal?.throwIfAborted();
    const { bytesRead } = await input.read(buffer, 0, Math.min(chunkBytes, info.size - size));
    if (bytesRead === 0) break;
    const chunk = buffer.subarray(0, bytesRead);
    hash.update(chunk);
    for (let written = 0; written < bytesRead; ) {
      written += (await output.write(chunk, written, bytesRead - written)).bytesWritten;
    }
    size += bytesRead;
  }
  await output.chmod(rights);
  await output.sync();
  return { size, sha256: hash.digest("hex"), mode: rights };
}
