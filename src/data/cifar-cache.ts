import { createHash } from "node:crypto";
import { realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { writeFileDurably } from "../base/durable.ts";
import { isPipelineError, PipelineError } from "../base/errors.ts";
import { extractMembers } from "./archive.ts";
import { writeFolderAtomically } from "./atomic-folder.ts";
import { type CifarData, type CifarName, cifarFiles, cifarFormats, maxNamesBytes, readCifarFolder } from "./cifar.ts";
import type { OnDataProgress } from "./progress.ts";

export interface CifarCacheOptions {
  readonly name: CifarName;
  /** The cache's folder. */
  readonly folder: string;
  readonly onProgress?: OnDataProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Written last: a folder without it is not a cache. */
const marker = "complete.json";

/** Cache folder of an archive: another size, time or place is another archive. */
export async function cacheFolderOf(dataDir: string, name: CifarName, archive: string): Promise<string> {
  const { size, mtimeMs } = await stat(archive);
  const key = createHash("sha256")
    .update(JSON.stringify([await realpath(archive), size, mtimeMs]))
    .digest("hex")
    .slice(0, 12);
  return join(dataDir, `${name}-${key}`);
}

/** The unpacked copy, or undefined when there is none. @throws DATA_CORRUPT when it was damaged afterwards. */
export async function readCache({ name, folder }: CifarCacheOptions): Promise<CifarData | undefined> {
  const info = await stat(join(folder, marker)).catch(() => undefined);
  if (info === undefined) return undefined;
  try {
    return await readCifarFolder(folder, cifarFormats[name]);
  } catch (cause) {
    if (!isPipelineError(cause)) throw cause;
    throw new PipelineError("DATA_CORRUPT", `the unpacked copy in ${folder} is damaged: ${withoutRemedy(cause)}`, {
      remedy: `delete the folder ${folder} and start again`,
      details: cause.details,
      cause,
    });
  }
}

/** Unpacks an archive into the cache; nothing is kept of one whose records are not right. */
export async function unpackToCache(archive: string, options: CifarCacheOptions): Promise<CifarData> {
  const { name, folder, onProgress, signal } = options;
  const format = cifarFormats[name];
  return writeFolderAtomically(folder, async (temporary) => {
    const members = cifarFiles(format);
    await extractMembers(archive, temporary, {
      folder: format.folder,
      members,
      maxFreeBytes: maxNamesBytes,
      onProgress,
      signal,
    });
    const data = await readCifarFolder(temporary, format, (file) => `${archive}: ${format.folder}/${file}`);
    await writeFileDurably(join(temporary, marker), `${JSON.stringify({ version: 1, name, archive }, undefined, 2)}\n`);
    return data;
  });
}

function withoutRemedy({ message, remedy }: PipelineError): string {
  return remedy === undefined ? message : message.slice(0, -`; ${remedy}`.length);
}
