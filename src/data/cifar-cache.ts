import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { writeFileDurably } from "../base/durable.ts";
import { isPipelineError, PipelineError } from "../base/errors.ts";
import { extractMembers } from "./archive.ts";
import { writeFolderAtomically } from "./atomic-folder.ts";
import {
  type CifarData,
  type CifarFormat,
  type CifarName,
  cifarFiles,
  cifarFormats,
  maxNamesBytes,
  readCifarFolder,
} from "./cifar.ts";
import {
  copyFolder,
  encodeNote,
  hasCopy,
  identityOf,
  listCopies,
  noteFile,
  pruneCopies,
  writeNote,
} from "./cifar-copies.ts";
import type { OnDataProgress } from "./progress.ts";

export interface CifarCacheOptions {
  readonly name: CifarName;
  /** Folder that holds the unpacked copies. */
  readonly dataDir: string;
  readonly onProgress?: OnDataProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The unpacked copy of an archive of that content, or undefined when there is none. @throws DATA_CORRUPT when it was damaged */
export async function readCopy(md5: string, { name, dataDir }: CifarCacheOptions): Promise<CifarData | undefined> {
  const folder = copyFolder(dataDir, name, md5);
  if (!(await hasCopy(dataDir, name, md5))) return undefined;
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

/** Unpacks an archive whose MD5 is known; nothing is kept of one whose records are not right. */
export async function unpackCopy(archive: string, md5: string, options: CifarCacheOptions): Promise<CifarData> {
  const { name, dataDir, onProgress, signal } = options;
  const format = cifarFormats[name];
  const data = await writeFolderAtomically(copyFolder(dataDir, name, md5), async (temporary) => {
    await extractMembers(archive, temporary, {
      folder: format.folder,
      members: cifarFiles(format),
      maxFreeBytes: maxNamesBytes,
      foreignRemedy: (names) => remedyFor(format, names),
      onProgress,
      signal,
    });
    const unpacked = await readCifarFolder(temporary, format, (file) => `${archive}: ${format.folder}/${file}`);
    const note = encodeNote({ version: 2, name, md5, archives: [await identityOf(archive)] });
    await writeFileDurably(join(temporary, noteFile), note);
    return unpacked;
  });
  await pruneCopies(dataDir, name);
  return data;
}

/**
 * The images of an archive, from its unpacked copy where there is one. An archive that was seen before at the same place
 * with the same size and time is known; any other is read once to tell whether its content has a copy.
 */
export async function loadArchive(archive: string, options: CifarCacheOptions): Promise<CifarData> {
  const { name, dataDir, signal } = options;
  const identity = await identityOf(archive);
  const copies = (await listCopies(dataDir)).flatMap(({ note }) =>
    note.version === 2 && note.name === name ? [note] : [],
  );
  const known = copies.find(({ archives }) => archives.some((seen) => seen.key === identity.key));
  const md5 = known?.md5 ?? (await md5Of(archive, signal));
  const data = await readCopy(md5, options);
  if (data === undefined) return unpackCopy(archive, md5, options);
  if (known === undefined) {
    const seen = copies.find((copy) => copy.md5 === md5)?.archives ?? [];
    const others = seen.filter(({ path }) => path !== identity.path);
    await writeNote(dataDir, { version: 2, name, md5, archives: [...others, identity] });
    await pruneCopies(dataDir, name);
  }
  return data;
}

async function md5Of(path: string, signal: AbortSignal | undefined): Promise<string> {
  const hash = createHash("md5");
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20, signal })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

function withoutRemedy({ message, remedy }: PipelineError): string {
  return remedy === undefined ? message : message.slice(0, -`; ${remedy}`.length);
}

/** What to do with an archive that holds something else, by the first names in it. */
function remedyFor(format: CifarFormat, names: readonly string[]): string {
  const isIn = (pattern: RegExp): boolean => names.some((name) => pattern.test(name));
  if (isIn(/(^|\/)cifar-10+-(batches-py|python|batches-mat|matlab)(\/|$)/))
    return `this is the Python or the Matlab version: give the binary version, ${format.archive.file}`;
  const other = Object.entries(cifarFormats).find(([, { folder }]) => isIn(new RegExp(`(^|/)${folder}(/|$)`)));
  if (other !== undefined && other[1].folder !== format.folder) return `set dataset.name=${other[0]}`;
  return `give a whole archive in the official layout, as ${format.archive.file} has it`;
}
