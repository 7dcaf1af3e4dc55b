import { randomUUID } from "node:crypto";
import { constants, createReadStream } from "node:fs";
import { copyFile, lstat, mkdir, open, readdir, readFile, realpath, rename, rm } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import type { Readable } from "node:stream";
import { isMissing, syncFolder, writeFileDurably } from "../base/durable.ts";
import { PipelineError } from "../base/errors.ts";
import { storageError } from "../base/storage-error.ts";
import type { FileInfo } from "./types.ts";
import { invalid } from "./validation.ts";

export const defaultArtifactRoot = "runs/artifacts";

const scheme = "mlflow-artifacts:/";

/** The URI of the root itself. */
export const artifactRootUri = scheme;

const incoming = ".incoming";
const maxPathLength = 1000;

/**
 * Files of runs below one folder. An artifact URI is "mlflow-artifacts:/EXPERIMENT/RUN/artifacts"
 * ("mlflow-artifacts:/" is the root), paths below it are relative with "/". A file appears whole or not at all. Methods reject with TRACKING_INVALID for a path that could
 * lead elsewhere, TRACKING_NOT_FOUND for a missing file, STORAGE_FAILED when the disk is full or forbidden,
 * TRACKING_STORE_FAILED when it fails otherwise.
 */
export interface ArtifactStore extends ArtifactAccess {
  readonly root: string;
  /** Where a file lies, for streaming it. */
  locate(artifactUri: string, path: string): Promise<string>;
  /** Removes a file, or a folder with all that is in it. What is not there is fine. */
  remove(artifactUri: string, path: string): Promise<void>;
}

/** Reading and writing artifacts, wherever they lie. */
export interface ArtifactAccess {
  write(artifactUri: string, path: string, data: Uint8Array | string): Promise<void>;
  /**
   * Writes what a stream gives.
   * @throws TRACKING_INVALID when it gives more than `maxBytes`; nothing is kept then
   */
  writeStream(
    artifactUri: string,
    path: string,
    source: { readonly stream: AsyncIterable<Uint8Array>; readonly maxBytes: number },
  ): Promise<void>;
  /** Copies a file, or a folder with all that is in it (symbolic links are refused). */
  copyIn(artifactUri: string, path: string, source: string): Promise<void>;
  read(artifactUri: string, path: string): Promise<Uint8Array>;
  readStream(artifactUri: string, path: string): Promise<Readable>;
  /** Direct children of a folder sorted by name; none when it does not exist. */
  list(artifactUri: string, path?: string): Promise<readonly FileInfo[]>;
}

export function openArtifactStore({ root = defaultArtifactRoot }: { readonly root?: string } = {}): ArtifactStore {
  const base = resolve(root);
  const target = (artifactUri: string, path: string): string => join(base, ...segmentsOf(artifactUri, path));

  const place = async (file: string, fill: (temporary: string) => Promise<void>): Promise<void> => {
    const temporary = join(base, incoming, randomUUID());
    try {
      await mkdir(dirname(temporary), { recursive: true });
      await checkInside(base, dirname(file));
      await mkdir(dirname(file), { recursive: true });
      await fill(temporary);
      await rename(temporary, file);
      await syncFolder(dirname(file));
    } catch (error) {
      await rm(temporary, { force: true });
      if (isInTheWay(error))
        throw invalid("the artifact would take the place of a folder, or lie below a file", "choose another path", {
          file,
        });
      throw failed(file, error);
    }
  };

  const copy = async (file: string, source: string): Promise<void> => {
    const stat = await lstat(source).catch((error: unknown) => {
      throw failed(source, error);
    });
    if (stat.isDirectory()) {
      for (const name of (await readdir(source)).sort()) await copy(join(file, name), join(source, name));
      return;
    }
    if (!stat.isFile()) throw invalid(`${source} is neither a file nor a folder`, "give a regular file or a folder");
    await place(file, async (temporary) => {
      await copyFile(source, temporary, constants.COPYFILE_EXCL);
      await using copied = await open(temporary, "r");
      await copied.sync();
    });
  };

  const locate = async (artifactUri: string, path: string): Promise<string> => {
    const file = target(artifactUri, path);
    await checkInside(base, dirname(file));
    const info = await lstat(file).catch((error: unknown) => {
      throw failed(path, error);
    });
    if (info.isFile()) return file;
    if (info.isDirectory())
      throw invalid(`Artifact path refers to a directory, not a file: '${path}'`, "name a file in it", { path });
    throw new PipelineError("TRACKING_NOT_FOUND", `the artifact ${path} is no file`, { details: { path } });
  };

  return {
    root: base,
    write: (artifactUri, path, data) =>
      within(async () => {
        const file = target(artifactUri, nonEmpty(path));
        await place(file, (temporary) => writeFileDurably(temporary, data));
      }),
    writeStream: (artifactUri, path, { stream, maxBytes }) =>
      within(async () => {
        const file = target(artifactUri, nonEmpty(path));
        await place(file, (temporary) => writeBounded(temporary, { stream, maxBytes, path }));
      }),
    remove: (artifactUri, path) =>
      within(async () => {
        const file = target(artifactUri, nonEmpty(path));
        await checkInside(base, dirname(file));
        await rm(file, { recursive: true, force: true }).catch((error: unknown) => {
          throw failed(path, error);
        });
      }),
    copyIn: (artifactUri, path, source) => within(() => copy(target(artifactUri, path), resolve(source))),
    locate: (artifactUri, path) => within(() => locate(artifactUri, nonEmpty(path))),
    readStream: (artifactUri, path) => within(async () => createReadStream(await locate(artifactUri, nonEmpty(path)))),
    read: (artifactUri, path) => within(async () => readFile(await locate(artifactUri, nonEmpty(path)))),
    list: (artifactUri, path = "") => within(() => listFolder(base, { folder: target(artifactUri, path), path })),
  };
}

interface BoundedSource {
  readonly stream: AsyncIterable<Uint8Array>;
  readonly maxBytes: number;
  readonly path: string;
}

async function writeBounded(file: string, { stream, maxBytes, path }: BoundedSource): Promise<void> {
  await using output = await open(file, "wx");
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes)
      throw invalid(`the artifact ${path} has more than ${maxBytes} bytes`, "raise the limit of the server", {
        path,
        maxBytes,
      });
    await output.writeFile(chunk);
  }
  await output.sync();
}

async function listFolder(
  base: string,
  { folder, path }: { readonly folder: string; readonly path: string },
): Promise<readonly FileInfo[]> {
  await checkInside(base, folder);
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    if (isMissing(error)) return [];
    throw failed(path, error);
  });
  const infos: FileInfo[] = [];
  for (const entry of entries) {
    const here = path === "" ? entry.name : `${path}/${entry.name}`;
    if (entry.name === incoming) continue;
    if (entry.isDirectory()) infos.push({ path: here, isDir: true, fileSize: undefined });
    else if (entry.isFile())
      infos.push({ path: here, isDir: false, fileSize: (await lstat(join(folder, entry.name))).size });
  }
  return infos.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Errors of arguments are rejections too. */
async function within<T>(work: () => Promise<T>): Promise<T> {
  return await work();
}

function nonEmpty(path: string): string {
  if (path === "") throw invalid("an empty artifact path", "name the file");
  return path;
}

function segmentsOf(artifactUri: string, path: string): string[] {
  if (!artifactUri.startsWith(scheme))
    throw invalid(`the artifact URI ${JSON.stringify(artifactUri)}`, `use one that starts with ${scheme}`);
  // After an authority ("mlflow-artifacts://host/…") comes the same path.
  const below = artifactUri
    .slice(scheme.length)
    .replace(/^\/[^/]*/, "")
    .replace(/^\/+/, "");
  return [...(below === "" ? [] : safeSegments(below)), ...(path === "" ? [] : safeSegments(path))];
}

/** Parts of a relative path, none of which can leave the folder, on any system and however it is decoded again. */
function safeSegments(path: string): string[] {
  const refuse = (why: string): PipelineError =>
    invalid(
      `the artifact path ${JSON.stringify(path.slice(0, 200))} ${why}`,
      "use a relative path such as plots/loss.png",
    );
  if (path.length > maxPathLength) throw refuse(`has more than ${maxPathLength} characters`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (/[\u0000-\u001f\u007f\\]/.test(path)) throw refuse("has control characters or backslashes");
  if (/%(2e|2f|5c|00)/i.test(path)) throw refuse("has encoded dots, slashes or zeros");
  const segments = path.split("/");
  for (const segment of segments) {
    if (segment === "" || segment === "." || segment === "..") throw refuse("is absolute or has empty, . or .. parts");
    if (/^[a-z]:/i.test(segment)) throw refuse("names a drive");
    if (segment === incoming) throw refuse(`uses the reserved name ${incoming}`);
    if (Buffer.byteLength(segment) > 255) throw refuse("has a part of more than 255 bytes");
  }
  return segments;
}

/** Refuses a folder that a symbolic link leads out of the root; its missing parts cannot be links. */
async function checkInside(base: string, folder: string): Promise<void> {
  const realBase = await realpath(base).catch(() => base);
  for (let existing = folder; existing.startsWith(base) && existing !== base; existing = dirname(existing)) {
    let real: string;
    try {
      real = await realpath(existing);
    } catch (error) {
      if (isMissing(error)) continue;
      throw failed(existing, error);
    }
    if (real.startsWith(realBase + sep)) return;
    const link = relative(base, existing);
    throw invalid(`${link} leads out of the artifact folder`, "remove the symbolic link", { folder });
  }
}

/** A folder where the file should be, or a file where a folder should. */
function isInTheWay(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "EISDIR" || code === "ENOTDIR" || code === "EEXIST" || code === "ENOTEMPTY";
}

function failed(path: string, error: unknown): PipelineError {
  if (error instanceof PipelineError) return error;
  // Below a file there is nothing, which is no failure of the disk.
  const storage = (error as NodeJS.ErrnoException).code === "ENOTDIR" ? undefined : storageError(error, path);
  if (storage !== undefined) return storage;
  const message = error instanceof Error ? error.message : String(error);
  return isMissing(error)
    ? new PipelineError("TRACKING_NOT_FOUND", `there is no ${path}`, { cause: error, details: { path } })
    : new PipelineError("TRACKING_STORE_FAILED", `${path}: ${message}`, {
        cause: error,
        remedy: "check free space and rights",
        details: { path },
      });
}
