import { randomBytes } from "node:crypto";
import { mkdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { ignoreMissing, syncFolder, writeFileDurably } from "../base/durable.ts";
import { PipelineError } from "../base/errors.ts";
import { storageError } from "../base/storage-error.ts";
import { type BackupFile, type Manifest, manifestFile, type PartName } from "./manifest.ts";
import { copyDatabase, isBesideDatabase, isDatabase } from "./sqlite.ts";
import { copyFile, listTree } from "./tree.ts";

export interface BackupSource {
  readonly part: PartName;
  readonly folder: string;
  /** Paths below it that are no part of it. */
  readonly skip?: ReadonlySet<string>;
}

export interface CreateBackupOptions {
  /** A folder that is not there yet. */
  readonly target: string;
  /** Those whose folder is not there are left out. */
  readonly sources: readonly BackupSource[];
  /** Of the program. */
  readonly version: string;
  readonly signal?: AbortSignal | undefined;
  readonly onFile?: (path: string, done: number, total: number) => void;
}

export interface BackupResult {
  readonly manifest: Manifest;
  readonly leftOut: readonly { readonly path: string; readonly reason: string }[];
}

interface Planned {
  readonly from: string;
  readonly path: string;
  readonly isDatabase: boolean;
}

/**
 * Copies folders into a new one while others write to them: databases as one moment has them and before all else, so that
 * the files that they name are there too; then every other file as it is when its turn comes. The backup appears under its
 * name when all of it is on the disk.
 * @throws BACKUP_FAILED, STORAGE_FAILED; what the signal was aborted with
 */
export async function createBackup(options: CreateBackupOptions): Promise<BackupResult> {
  const { sources, version, signal, onFile } = options;
  // Without a slash at its end: what is in the making lies beside it.
  const target = resolve(options.target);
  if ((await stat(target).catch(ignoreMissing)) !== undefined) {
    throw new PipelineError("BACKUP_FAILED", `${options.target} is there already`, {
      remedy: "name a folder that is not there yet",
      details: { path: target },
    });
  }
  const partial = `${target}.${process.pid}-${randomBytes(4).toString("hex")}.partial`;
  const createdAt = new Date().toISOString();
  try {
    const { planned, leftOut } = await plan(sources);
    // Models and keys are nobody else's business.
    await mkdir(partial, { recursive: true, mode: 0o700 });
    const files: BackupFile[] = [];
    for (const [index, file] of planned.entries()) {
      signal?.throwIfAborted();
      onFile?.(file.path, index, planned.length);
      const copied = await copyPlanned(file, join(partial, file.path), signal);
      if (copied !== undefined) files.push({ path: file.path, ...copied });
    }
    const manifest: Manifest = { formatVersion: 1, createdAt, version, files };
    await syncFolders(partial, files);
    await writeFileDurably(join(partial, manifestFile), `${JSON.stringify(manifest, null, 1)}\n`);
    await syncFolder(partial);
    await rename(partial, target);
    await syncFolder(dirname(target));
    return { manifest, leftOut };
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw storageError(error) ?? error;
  }
}

async function plan(sources: readonly BackupSource[]): Promise<{
  readonly planned: readonly Planned[];
  readonly leftOut: BackupResult["leftOut"];
}> {
  const planned: Planned[] = [];
  const leftOut: { path: string; reason: string }[] = [];
  for (const { part, folder, skip } of sources) {
    const tree = await listTree(folder, skip);
    leftOut.push(...tree.leftOut.map(({ path, reason }) => ({ path: join(folder, path), reason })));
    const databases = new Set<string>();
    for (const path of tree.files) if (await isDatabase(join(folder, path))) databases.add(path);
    for (const path of tree.files) {
      if (isBesideDatabase(path, databases)) continue;
      planned.push({ from: join(folder, path), path: `${part}/${path}`, isDatabase: databases.has(path) });
    }
  }
  return { planned: planned.toSorted((a, b) => Number(b.isDatabase) - Number(a.isDatabase)), leftOut };
}

async function copyPlanned(
  { from, isDatabase: isOne }: Planned,
  to: string,
  signal: AbortSignal | undefined,
): Promise<Omit<BackupFile, "path"> | undefined> {
  await mkdir(dirname(to), { recursive: true });
  if (!isOne) return copyFile(from, to, { signal });
  const mode = (await stat(from)).mode & 0o777;
  const whole = `${to}.whole`;
  copyDatabase(from, whole);
  const file = await copyFile(whole, to, { mode, signal });
  await rm(whole);
  return file;
}

/** Makes the names of all files durable. */
async function syncFolders(root: string, files: readonly BackupFile[]): Promise<void> {
  const folders = new Set<string>();
  for (const { path } of files) {
    for (let folder = dirname(path); folder !== "."; folder = dirname(folder)) folders.add(folder);
  }
  for (const folder of folders) await syncFolder(join(root, folder));
}
