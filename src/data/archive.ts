import { createReadStream, createWriteStream } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { type Extract, extract } from "tar-stream";
import { isPipelineError, PipelineError } from "../base/errors.ts";
import { storageError } from "../base/storage-error.ts";
import { decompressorFor } from "./decompress.ts";
import type { OnDataProgress } from "./progress.ts";

export interface ExtractOptions {
  /** Folder of the members inside the archive; members without any folder are taken too. */
  readonly folder: string;
  /** Wanted members by name: the exact size in bytes, or undefined where any up to `maxFreeBytes` will do. */
  readonly members: ReadonlyMap<string, number | undefined>;
  readonly maxFreeBytes: number;
  /** Bytes that the whole archive may unpack to; default 1 GiB. */
  readonly maxUnpackedBytes?: number;
  /** What to do instead, given the first names in an archive that lacks members. */
  readonly foreignRemedy?: (names: readonly string[]) => string;
  readonly onProgress?: OnDataProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What is used of a member's header. */
interface Header {
  readonly name: string;
  readonly type?: string | null | undefined;
  readonly size?: number | undefined;
}

const maxEntries = 1000;
const maxNamed = 3;

/**
 * Unpacks the wanted members of a .tar.gz or .tar.xz (told apart by content, not by name) into the existing folder
 * `target`. Files are created under the wanted names only, so no member name can lead elsewhere; other members are
 * skipped; sizes are bounded.
 * @throws DATA_CORRUPT for a damaged, truncated or oversized archive, DATA_FOREIGN when it is none or lacks members,
 * STORAGE_FAILED when the disk is full, read-only or broken.
 */
export async function extractMembers(archive: string, target: string, options: ExtractOptions): Promise<void> {
  const { maxUnpackedBytes = 1024 ** 3, onProgress, signal } = options;
  const decompress = await decompressorFor(archive);
  const { size } = await stat(archive);
  let read = 0;
  let unpacked = 0;

  async function* countRead(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      read += chunk.length;
      yield chunk;
      onProgress?.({ stage: "unpack", done: read, total: size });
    }
  }
  async function* countUnpacked(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      unpacked += chunk.length;
      if (unpacked > maxUnpackedBytes)
        throw damaged(archive, read, `it unpacks to more than ${maxUnpackedBytes} bytes`);
      yield chunk;
    }
  }

  const source = createReadStream(archive, { highWaterMark: 256 * 1024 });
  const tar = extract();
  let failure: { readonly cause: unknown } | undefined;
  const fail = (cause: unknown): void => {
    failure ??= { cause };
    tar.destroy();
  };
  const missing = new Set(options.members.keys());
  const passed: string[] = [];
  await Promise.all([
    pipeline(source, countRead, decompress, countUnpacked, tar, signal === undefined ? {} : { signal }).catch(fail),
    takeEntries(tar, { archive, target, missing, passed, options, offset: () => read }).catch(fail),
  ]);
  if (failure !== undefined) {
    signal?.throwIfAborted();
    if (isPipelineError(failure.cause)) throw failure.cause;
    // A full disk says nothing about the archive.
    throw storageError(failure.cause, target) ?? unreadable(archive, read, failure.cause);
  }
  if (missing.size > 0) {
    const instead = passed.length === 0 ? "it is empty" : `it holds ${passed.join(", ")}`;
    throw new PipelineError(
      "DATA_FOREIGN",
      `${archive} lacks ${options.folder}/${[...missing].join(", ")}; ${instead}`,
      {
        remedy: options.foreignRemedy?.(passed) ?? "give a whole archive in the official layout",
        details: { file: archive, missing: [...missing] },
      },
    );
  }
}

interface Taking {
  readonly archive: string;
  readonly target: string;
  /** Names not met yet. */
  readonly missing: Set<string>;
  /** The first names that were not wanted. */
  readonly passed: string[];
  readonly options: ExtractOptions;
  readonly offset: () => number;
}

async function takeEntries(tar: Extract, { archive, target, missing, passed, options, offset }: Taking): Promise<void> {
  let entries = 0;
  for await (const entry of tar) {
    if (++entries > maxEntries) throw damaged(archive, offset(), `it has more than ${maxEntries} members`);
    const member = wantedMember(entry.header, options);
    if (member === undefined) {
      if (passed.length < maxNamed) passed.push(entry.header.name.slice(0, 100));
      entry.resume();
      continue;
    }
    if (!missing.delete(member)) throw damaged(archive, offset(), `it has the member ${member} twice`);
    requireSize(archive, offset(), entry.header, member, options);
    await pipeline(entry, createWriteStream(join(target, member), { flags: "wx", flush: true }));
  }
}

/** The wanted name that a member has, in the expected folder or in none. */
function wantedMember(header: Header, { folder, members }: ExtractOptions): string | undefined {
  if (header.type !== "file" && header.type !== "contiguous-file") return undefined;
  const name = header.name.replace(/^(\.\/)+/, "");
  const inFolder = name.startsWith(`${folder}/`) ? name.slice(folder.length + 1) : name;
  return members.has(inFolder) ? inFolder : undefined;
}

function requireSize(
  archive: string,
  offset: number,
  { size = 0 }: Header,
  member: string,
  { members, maxFreeBytes }: ExtractOptions,
): void {
  const exact = members.get(member);
  if (exact !== undefined && size !== exact) {
    throw damaged(archive, offset, `its member ${member} has ${size} bytes, not ${exact}`);
  }
  if (exact === undefined && size > maxFreeBytes) {
    throw damaged(archive, offset, `its member ${member} has ${size} bytes, more than ${maxFreeBytes}`);
  }
}

function damaged(archive: string, offset: number, problem: string): PipelineError {
  return new PipelineError("DATA_CORRUPT", `${archive} cannot be used (near byte offset ${offset}): ${problem}`, {
    remedy: "download or copy the archive again",
    details: { file: archive, offset },
  });
}

function unreadable(archive: string, offset: number, cause: unknown): PipelineError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new PipelineError("DATA_CORRUPT", `${archive} cannot be unpacked (near byte offset ${offset}): ${reason}`, {
    remedy: "download or copy the archive again",
    details: { file: archive, offset },
    cause,
  });
}
