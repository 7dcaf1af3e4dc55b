import { randomBytes } from "node:crypto";
import { chown, lstat, mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { ignoreMissing, syncFolder } from "../base/durable.ts";
import { PipelineError } from "../base/errors.ts";
import { fileDigest } from "../base/file-digest.ts";
import { storageError } from "../base/storage-error.ts";
import { type BackupFile, damaged, type Manifest, type PartName, partNames, readManifest } from "./manifest.ts";
import { copyFile } from "./tree.ts";

export interface RestoreBackupOptions {
  readonly source: string;
  /** Where each part belongs. */
  readonly targets: Readonly<Record<PartName, string>>;
  /** Moves what is there aside, instead of refusing. */
  readonly force: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onFile?: (path: string, done: number, total: number) => void;
}

export interface RestoredPart {
  readonly part: PartName;
  readonly folder: string;
  readonly files: number;
  /** unchanged: every file was there already, with the same content. */
  readonly outcome: "restored" | "unchanged";
  /** Where that is which was there before. */
  readonly movedTo?: string;
}

/**
 * Puts a backup in its place, part by part: every file is checked before anything is changed, and a part takes its place
 * when all of it is on the disk. What a restore that was ended in the middle has put in its place is found unchanged.
 * @throws BACKUP_DAMAGED; RESTORE_REFUSED where other files are in the way; STORAGE_FAILED; what the signal was aborted
 * with
 */
export async function restoreBackup(options: RestoreBackupOptions): Promise<readonly RestoredPart[]> {
  const { source, targets, force, signal, onFile } = options;
  const manifest = await readManifest(source);
  for (const [index, file] of manifest.files.entries()) {
    signal?.throwIfAborted();
    onFile?.(file.path, index, manifest.files.length);
    await check(source, file);
  }
  // In this order: what Prometheus has measured may lie in the folder of the runs.
  const parts = partNames.filter((part) => filesOf(manifest, part).length > 0);
  const states = new Map<PartName, "free" | "taken" | "unchanged">();
  for (const part of parts) states.set(part, await stateOf(targets[part], part, filesOf(manifest, part)));
  const taken = parts.filter((part) => states.get(part) === "taken").map((part) => targets[part]);
  if (taken.length > 0 && !force) {
    throw new PipelineError("RESTORE_REFUSED", `there are other files in ${taken.join(", ")}: nothing was changed`, {
      remedy: "move them away, or let --force do so",
      details: { paths: taken },
    });
  }
  try {
    const restored: RestoredPart[] = [];
    for (const part of parts) {
      const files = filesOf(manifest, part);
      const folder = targets[part];
      if (states.get(part) === "unchanged") {
        restored.push({ part, folder, files: files.length, outcome: "unchanged" });
        continue;
      }
      const movedTo = await putInPlace({ source, part, folder, files, signal });
      restored.push({
        ...{ part, folder, files: files.length, outcome: "restored" as const },
        ...(movedTo === undefined ? {} : { movedTo }),
      });
    }
    return restored;
  } catch (error) {
    throw storageError(error) ?? error;
  }
}

function filesOf({ files }: Manifest, part: PartName): readonly BackupFile[] {
  return files.filter(({ path }) => path.startsWith(`${part}/`));
}

async function check(source: string, { path, size, sha256 }: BackupFile): Promise<void> {
  const file = join(source, path);
  const info = await lstat(file).catch(ignoreMissing);
  if (!info?.isFile()) throw damaged(file, "the file is missing");
  if (info.size !== size) throw damaged(file, `it has ${info.size} bytes, ${size} were written`);
  const actual = await fileDigest(file);
  if (actual !== sha256) throw damaged(file, `its SHA-256 is ${actual}, it was ${sha256}`);
}

async function stateOf(
  folder: string,
  part: PartName,
  files: readonly BackupFile[],
): Promise<"free" | "taken" | "unchanged"> {
  const entries = await readdir(folder).catch(ignoreMissing);
  if (entries === undefined || entries.length === 0) return "free";
  for (const { path, size, sha256 } of files) {
    const file = join(folder, path.slice(part.length + 1));
    const info = await lstat(file).catch(ignoreMissing);
    if (!info?.isFile() || info.size !== size || (await fileDigest(file)) !== sha256) return "taken";
  }
  return "unchanged";
}

interface Placing {
  readonly source: string;
  readonly part: PartName;
  readonly folder: string;
  readonly files: readonly BackupFile[];
  readonly signal: AbortSignal | undefined;
}

/** @returns where that was moved which was there */
async function putInPlace({ source, part, folder: place, files, signal }: Placing): Promise<string | undefined> {
  // Without a slash at its end: what is in the making lies beside it.
  const folder = resolve(place);
  const id = `${process.pid}-${randomBytes(4).toString("hex")}`;
  // A volume can't be renamed: what is in it is.
  await mkdir(dirname(folder), { recursive: true });
  const mounted = await isMounted(folder);
  const beside = (name: string): string => (mounted ? join(folder, `.${name}`) : `${folder}.${name}`);
  const owner = await ownerOf(folder);
  const [fresh, aside] = [beside(`restoring-${id}`), beside(`before-${id}`)];
  try {
    const folders = new Set<string>();
    for (const { path, mode, sha256 } of files) {
      signal?.throwIfAborted();
      const target = join(fresh, path.slice(part.length + 1));
      await mkdir(dirname(target), { recursive: true });
      for (let each = dirname(target); each.length >= fresh.length; each = dirname(each)) folders.add(each);
      const copy = await copyFile(join(source, path), target, { mode, signal });
      if (copy?.sha256 !== sha256) throw damaged(join(source, path), "it changed while it was restored");
      await owner?.give(target);
    }
    for (const each of folders) {
      await owner?.give(each);
      await syncFolder(each);
    }
    const before = ((await readdir(folder).catch(ignoreMissing)) ?? []).filter((name) => join(folder, name) !== fresh);
    if (mounted) {
      if (before.length > 0) await mkdir(aside);
      for (const name of before) await rename(join(folder, name), join(aside, name));
      for (const name of await readdir(fresh)) await rename(join(fresh, name), join(folder, name));
      await rm(fresh, { recursive: true });
      await syncFolder(folder);
    } else {
      if (before.length > 0) await rename(folder, aside);
      await rename(fresh, folder);
      await syncFolder(dirname(folder));
    }
    return before.length > 0 ? aside : undefined;
  } catch (error) {
    await rm(fresh, { recursive: true, force: true });
    throw error;
  }
}

/** What root restores belongs to whom the place belongs to, as a volume does to the user of its service. */
async function ownerOf(folder: string): Promise<{ give(path: string): Promise<void> } | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const { uid, gid } = (await stat(folder).catch(ignoreMissing)) ?? (await stat(dirname(resolve(folder))));
  return { give: (path) => chown(path, uid, gid) };
}

async function isMounted(folder: string): Promise<boolean> {
  const info = await stat(folder).catch(ignoreMissing);
  return info !== undefined && info.dev !== (await stat(dirname(resolve(folder)))).dev;
}
