import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isMissing, syncFolder } from "../base/durable.ts";
import { isPipelineError, PipelineError } from "../base/errors.ts";
import { storageError } from "../base/storage-error.ts";
import { httpGet, TransferError } from "./http-get.ts";
import type { OnDataProgress } from "./progress.ts";
import type { Env } from "./proxy.ts";

export interface DownloadOptions {
  readonly url: string;
  /** Where the finished file goes; what is there before lies beside it as `${file}.part`. */
  readonly file: string;
  /** `hex`: all digits, or the first of them where no more are published. */
  readonly checksum: { readonly algorithm: "md5" | "sha256"; readonly hex: string };
  /** More bytes than this are refused; default 512 MiB. */
  readonly maxBytes?: number | undefined;
  /** A connection that is silent for this long is given up; default 30 s. */
  readonly stallTimeoutMs?: number | undefined;
  /** Further attempts in a row that bring no new byte; default 4. */
  readonly retries?: number | undefined;
  /** Pause before the second attempt, doubled for each one after; default 1 s. */
  readonly backoffMs?: number | undefined;
  /** Names the proxies: HTTPS_PROXY, HTTP_PROXY, NO_PROXY; default: the environment of the process. */
  readonly env?: Env | undefined;
  readonly onProgress?: OnDataProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Attempts in all, also when each one brings a few bytes. */
const maxAttempts = 100;

/**
 * Downloads a file, resuming a `.part` left by an earlier attempt or run, and renames it only when the checksum of
 * the whole is right.
 * @throws DOWNLOAD_FAILED when it can't be fetched, DATA_CORRUPT when what came has another checksum,
 * STORAGE_FAILED when the disk is full, read-only or broken.
 */
export async function download(options: DownloadOptions): Promise<void> {
  const { url, file, retries = 4, backoffMs = 1000, signal } = options;
  const part = `${file}.part`;
  await mkdir(dirname(file), { recursive: true }).catch((error: unknown) => {
    throw storageError(error, dirname(file)) ?? error;
  });
  let fruitless = 0;
  let restarted = false;
  for (let attempt = 1; ; attempt++) {
    const before = await sizeOf(part);
    try {
      const resumed = await fetchRest(part, before, options);
      if (await hasChecksum(part, options.checksum)) break;
      await rm(part, { force: true });
      // The old part may have belonged to another version of the file: once more from the start.
      if (!resumed || restarted) throw wrongChecksum(options);
      restarted = true;
    } catch (cause) {
      signal?.throwIfAborted();
      const storage = storageError(cause, part);
      if (storage !== undefined) throw storage;
      if (isPipelineError(cause)) {
        await rm(part, { force: true });
        throw cause;
      }
      const retryable = cause instanceof TransferError ? cause.retryable : isNetworkError(cause);
      fruitless = (await sizeOf(part)) > before ? 0 : fruitless + 1;
      if (!retryable || fruitless > retries || attempt >= maxAttempts) throw failed(url, attempt, cause);
      await sleep(Math.min(backoffMs * 2 ** Math.max(0, fruitless - 1), 30_000), undefined, { signal });
    }
  }
  await rename(part, file);
  await syncFolder(dirname(file));
}

/** True when the file is there and has the checksum. */
export async function hasChecksum(path: string, { algorithm, hex }: DownloadOptions["checksum"]): Promise<boolean> {
  const hash = createHash(algorithm);
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) hash.update(chunk as Uint8Array);
  return hash.digest("hex").startsWith(hex);
}

/** Appends to `part` what it lacks. True when bytes that were there before were kept. */
async function fetchRest(part: string, start: number, options: DownloadOptions): Promise<boolean> {
  const { url, maxBytes = 512 * 1024 ** 2, stallTimeoutMs = 30_000, env, onProgress, signal } = options;
  await using response = await httpGet(url, { start, stallTimeoutMs, env, signal });
  if (response.start === "complete") return true;
  const kept = response.start > 0;
  const { total } = response;
  let done = response.start;
  const refuseBeyond = (bytes: number): void => {
    if (bytes > maxBytes) throw tooLarge(url, bytes, maxBytes);
  };
  refuseBeyond(total ?? 0);
  await using file = await open(part, kept ? "r+" : "w");
  try {
    for await (const chunk of response.body) {
      refuseBeyond(done + chunk.length);
      await file.write(chunk, 0, chunk.length, done);
      done += chunk.length;
      onProgress?.({ stage: "download", done, total });
    }
  } finally {
    await file.sync();
  }
  if (total !== undefined && done !== total) {
    throw new TransferError(`the connection ended after ${done} of ${total} bytes`, "retry");
  }
  return kept;
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isMissing(error)) return 0;
    throw error;
  }
}

/** Failures of the connection; those of the local disk are not cured by trying again. */
function isNetworkError(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code ?? "";
  return /^(ECONN|EPIPE|ETIMEDOUT|EHOST|ENET|ENOTFOUND|EAI_AGAIN|HPE_|ERR_STREAM_PREMATURE_CLOSE)/.test(code);
}

function wrongChecksum({ url, checksum }: DownloadOptions): PipelineError {
  return new PipelineError("DATA_CORRUPT", `${url} does not have the ${checksum.algorithm} checksum ${checksum.hex}`, {
    remedy: "try again later or from another network, or fetch the file by other means and give its path",
    details: { url, ...checksum },
  });
}

function tooLarge(url: string, bytes: number, maxBytes: number): PipelineError {
  return new PipelineError("DOWNLOAD_FAILED", `${url} sends ${bytes} bytes or more, the limit is ${maxBytes}`, {
    remedy: "check the address",
    details: { url, bytes, maxBytes },
  });
}

function failed(url: string, attempts: number, cause: unknown): PipelineError {
  const reason = cause instanceof Error ? cause.message || cause.name : String(cause);
  return new PipelineError("DOWNLOAD_FAILED", `cannot download ${url} (${attempts} attempts): ${reason}`, {
    remedy:
      "check the network, and behind a proxy HTTPS_PROXY (HTTP_PROXY, NO_PROXY), and start again: it goes on where it stopped",
    details: { url, attempts },
    cause,
  });
}
