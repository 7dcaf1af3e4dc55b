import { stat } from "node:fs/promises";
import { join } from "node:path";
import { isMissing } from "../base/durable.ts";
import { isPipelineError, PipelineError } from "../base/errors.ts";
import { type DownloadOptions, download, hasChecksum } from "../data/download.ts";
import type { PublishedWeights } from "./published.ts";

export interface FetchWeightsOptions extends Pick<DownloadOptions, "onProgress" | "signal" | "retries" | "backoffMs"> {
  readonly published: PublishedWeights;
  /** Where fetched files are kept, and looked for first. */
  readonly directory: string;
  /** True: never touch the network. */
  readonly offline?: boolean | undefined;
}

/** The published sizes are rounded to thousandths of a MiB. */
const roundingBytes = 1100;

/**
 * The path of a published file of weights: from the folder, else downloaded into it (resumed, and renamed only when
 * its checksum is right). A file that is there is checked too.
 * @throws WEIGHTS_UNAVAILABLE saying what to fetch and where to put it, WEIGHTS_DAMAGED for a wrong file
 */
export async function fetchWeights(options: FetchWeightsOptions): Promise<string> {
  const { published, directory, offline = false, onProgress, signal, ...pace } = options;
  const { url, sha256, mebibytes } = published;
  const file = join(directory, published.file);
  const checksum = { algorithm: "sha256", hex: sha256 } as const;
  if (await isThere(file)) {
    if (await hasChecksum(file, checksum)) return file;
    throw new PipelineError("WEIGHTS_DAMAGED", `the SHA-256 of ${file} does not begin with ${sha256}`, {
      remedy: `delete it, or put the file of ${url} in its place`,
      details: { path: file, url },
    });
  }
  const byHand = `fetch ${url} (${mebibytes} MiB) with a browser and put it at ${file}, or give a path as model.weights`;
  if (offline) {
    throw new PipelineError(
      "WEIGHTS_UNAVAILABLE",
      `the weights ${published.file} are not in ${directory}, and the network is off`,
      {
        remedy: byHand,
        details: { url, path: file },
      },
    );
  }
  const maxBytes = Math.ceil(mebibytes * 2 ** 20) + roundingBytes;
  try {
    await download({ ...pace, url, file, checksum, maxBytes, onProgress, signal });
  } catch (cause) {
    if (!isPipelineError(cause)) throw cause;
    throw new PipelineError("WEIGHTS_UNAVAILABLE", `cannot get the weights ${published.file}: ${cause.message}`, {
      remedy: byHand,
      details: { url, path: file },
      cause,
    });
  }
  return file;
}

async function isThere(file: string): Promise<boolean> {
  return stat(file).then(
    (info) => info.isFile(),
    (error) => {
      if (!isMissing(error)) throw error;
      return false;
    },
  );
}
