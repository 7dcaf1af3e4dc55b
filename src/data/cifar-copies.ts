import { readdir, readFile, realpath, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { ignoreMissing, replaceFile } from "../base/durable.ts";
import { type CifarName, cifarFormats } from "./cifar.ts";

/** Written last: a folder without it is no copy. */
export const noteFile = "complete.json";

const nameSchema = z.enum(["cifar10", "cifar100"]);
const identitySchema = z.object({ path: z.string(), key: z.string() });
const noteSchema = z.discriminatedUnion("version", [
  // Copies of the first version are not known by their content.
  z.object({ version: z.literal(1), name: nameSchema, archive: z.string() }),
  z.object({ version: z.literal(2), name: nameSchema, md5: z.string(), archives: z.array(identitySchema) }),
]);

/** What a copy was unpacked from. */
export type CopyNote = z.infer<typeof noteSchema>;
type NoteByContent = Extract<CopyNote, { version: 2 }>;

/** An archive as it was seen: its place, and a key that changes with its place, size and time. */
export type ArchiveIdentity = z.infer<typeof identitySchema>;

/** An unpacked copy of an archive. */
export interface CifarCopy {
  readonly folder: string;
  readonly note: CopyNote;
  readonly bytes: number;
}

export function copyFolder(dataDir: string, name: CifarName, md5: string): string {
  return join(dataDir, `${name}-${md5.slice(0, 12)}`);
}

export async function identityOf(archive: string): Promise<ArchiveIdentity> {
  const path = await realpath(archive);
  const { size, mtimeMs } = await stat(path);
  return { path, key: JSON.stringify([path, size, mtimeMs]) };
}

export function encodeNote(note: NoteByContent): string {
  return `${JSON.stringify(note, undefined, 2)}\n`;
}

export async function writeNote(dataDir: string, note: NoteByContent): Promise<void> {
  await replaceFile(join(copyFolder(dataDir, note.name, note.md5), noteFile), encodeNote(note));
}

export async function hasCopy(dataDir: string, name: CifarName, md5: string): Promise<boolean> {
  return (await readNote(copyFolder(dataDir, name, md5))) !== undefined;
}

/** Every unpacked copy in the data folder, sorted by folder. */
export async function listCopies(dataDir: string): Promise<readonly CifarCopy[]> {
  const names = ((await readdir(dataDir).catch(ignoreMissing)) ?? []).sort();
  const copies: CifarCopy[] = [];
  for (const name of names) {
    if (!/^cifar\d+-[0-9a-f]{12}$/.test(name)) continue;
    const folder = join(dataDir, name);
    const note = await readNote(folder);
    if (note !== undefined) copies.push({ folder, note, bytes: await bytesIn(folder) });
  }
  return copies;
}

/** Removes the copies of a data set whose archives are gone or have changed; the official archive's copy stays. */
export async function pruneCopies(dataDir: string, name: CifarName): Promise<void> {
  for (const { folder, note } of await listCopies(dataDir)) {
    if (note.name === name && !(await isOfUse(dataDir, folder, note)))
      await rm(folder, { recursive: true, force: true });
  }
}

async function isOfUse(dataDir: string, folder: string, note: CopyNote): Promise<boolean> {
  if (folder === copyFolder(dataDir, note.name, cifarFormats[note.name].archive.md5)) return true;
  if (note.version === 1) return false;
  for (const { path, key } of note.archives) {
    const now = await identityOf(path).catch(ignoreMissing);
    if (now?.key === key) return true;
  }
  return false;
}

async function readNote(folder: string): Promise<CopyNote | undefined> {
  const text = await readFile(join(folder, noteFile), "utf8").catch(ignoreMissing);
  if (text === undefined) return undefined;
  try {
    return noteSchema.safeParse(JSON.parse(text)).data;
  } catch {
    // Half a note is none: the archive is unpacked again.
    return undefined;
  }
}

async function bytesIn(folder: string): Promise<number> {
  let bytes = 0;
  for (const file of await readdir(folder)) bytes += (await stat(join(folder, file)).catch(ignoreMissing))?.size ?? 0;
  return bytes;
}
