import { stat } from "node:fs/promises";
import { join } from "node:path";
import { isPipelineError, PipelineError } from "../base/errors.ts";
import { type CifarData, type CifarFormat, type CifarName, cifarFormats, cifarSide, readCifarFolder } from "./cifar.ts";
import { loadArchive, readCopy, unpackCopy } from "./cifar-cache.ts";
import { hasCopy } from "./cifar-copies.ts";
import type { ImageDataset } from "./dataset.ts";
import { digestOf } from "./digest.ts";
import { download, hasChecksum } from "./download.ts";
import { readImageFolder } from "./folder.ts";
import { firstImages } from "./image-memory.ts";
import type { OnDataProgress } from "./progress.ts";
import { createSyntheticDataset } from "./synthetic.ts";

export interface LoadDatasetOptions {
  readonly name: CifarName | "folder";
  /** "official" (download), "synthetic" (generated), or the path of an archive (.tar.gz, .tar.xz) or folder. */
  readonly source: string;
  /** Folder for downloads and unpacked copies; made when it is not there. */
  readonly dataDir: string;
  /** Height and width of an image folder's images; default 32. CIFAR and synthetic images are 32 x 32 always. */
  readonly imgSize?: number | undefined;
  /** Use only the first N training images; the test part stays whole. */
  readonly limit?: number | undefined;
  /** True: never touch the network. */
  readonly offline?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnDataProgress | undefined;
  /** Another address for the official archive, which must have the same content: for mirrors and tests. */
  readonly archiveUrl?: string | undefined;
}

/**
 * Loads a data set whole into memory. Nothing is replaced in silence: when the asked-for data can't be had, this
 * throws, and the caller decides whether synthetic data will do.
 * @throws DATA_UNAVAILABLE, DATA_CORRUPT, DATA_FOREIGN, INVALID_ARGUMENT
 */
export async function loadDataset(options: LoadDatasetOptions): Promise<ImageDataset> {
  const { name, source, limit } = options;
  if (limit !== undefined && !(Number.isInteger(limit) && limit >= 1)) {
    throw new PipelineError("INVALID_ARGUMENT", `dataset.limit is ${limit}`, { remedy: "use a positive whole number" });
  }
  options.signal?.throwIfAborted();
  if (source === "synthetic") return limited(createSyntheticDataset(), limit);
  if (name === "folder") {
    if (source === "official") {
      throw new PipelineError("INVALID_ARGUMENT", "there is no official download of the data set folder", {
        remedy: "set dataset.source to the folder's path, or dataset.name to cifar10 or cifar100",
      });
    }
    return readImageFolder(source, options);
  }
  const data = source === "official" ? await loadOfficial(name, options) : await loadPath(name, options);
  const origin = source === "official" ? "official download" : source;
  const whole = { name, synthetic: false, origin, height: cifarSide, width: cifarSide, digest: "", ...data };
  const dataset = limit === undefined ? whole : { ...whole, train: firstImages(whole.train, limit) };
  return { ...dataset, digest: digestOf(dataset) };
}

function limited(dataset: ImageDataset, limit: number | undefined): ImageDataset {
  if (limit === undefined || limit >= dataset.train.count) return dataset;
  const train = firstImages(dataset.train, limit);
  return { ...dataset, train, digest: digestOf({ train, test: dataset.test }) };
}

/**
 * Downloads what `loadDataset` would download, and does no more: the images are read by who uses them.
 * @throws DATA_UNAVAILABLE, DATA_CORRUPT
 */
export async function fetchDataset(options: LoadDatasetOptions): Promise<void> {
  const { name, source, dataDir } = options;
  if (source !== "official" || name === "folder") return;
  if (!(await hasCopy(dataDir, name, cifarFormats[name].archive.md5))) await fetchOfficial(name, options);
}

/** The copy of the official archive, else the archive in the data folder, else a download of it. */
async function loadOfficial(name: CifarName, options: LoadDatasetOptions): Promise<CifarData> {
  const { dataDir, onProgress, signal } = options;
  const { md5 } = cifarFormats[name].archive;
  const cache = { name, dataDir, onProgress, signal };
  return (await readCopy(md5, cache)) ?? unpackCopy(await fetchOfficial(name, options), md5, cache);
}

/** The path of the official archive, which is downloaded where it is not there. */
async function fetchOfficial(name: CifarName, options: LoadDatasetOptions): Promise<string> {
  const { dataDir, offline = false, onProgress, signal } = options;
  const format: CifarFormat = cifarFormats[name];
  const { file, md5, url } = format.archive;
  const checksum = { algorithm: "md5", hex: md5 } as const;
  const archive = join(dataDir, file);
  if (await isThere(archive)) {
    if (await hasChecksum(archive, checksum)) return archive;
    throw new PipelineError("DATA_CORRUPT", `${archive} is not the official archive: its MD5 is not ${md5}`, {
      remedy: `delete it to download it again, or set dataset.source=${archive} to use it as it is`,
      details: { file: archive, ...checksum },
    });
  }
  if (offline) throw unavailable(format, archive, "downloads are switched off", undefined);
  try {
    await download({ url: options.archiveUrl ?? url, file: archive, checksum, onProgress, signal });
  } catch (cause) {
    signal?.throwIfAborted();
    if (!isPipelineError(cause)) throw cause;
    throw unavailable(format, archive, cause.message, cause);
  }
  return archive;
}

async function loadPath(name: CifarName, options: LoadDatasetOptions): Promise<CifarData> {
  const { source, dataDir, onProgress, signal } = options;
  const info = await stat(source).catch((cause: unknown) => {
    throw new PipelineError("DATA_UNAVAILABLE", `dataset.source: cannot find ${source}`, {
      remedy: "give the path of an archive (.tar.gz, .tar.xz) or folder, or `official` or `synthetic`",
      details: { source },
      cause,
    });
  });
  if (info.isDirectory()) return readUnpacked(name, source);
  return loadArchive(source, { name, dataDir, onProgress, signal });
}

/** The official folder itself, or one that holds it. */
async function readUnpacked(name: CifarName, source: string): Promise<CifarData> {
  const format: CifarFormat = cifarFormats[name];
  const folder = await findUnpacked(source, format);
  if (folder !== undefined) return readCifarFolder(folder, format);
  for (const [other, otherFormat] of Object.entries(cifarFormats)) {
    if (other !== name && (await findUnpacked(source, otherFormat)) !== undefined) {
      throw new PipelineError("DATA_FOREIGN", `${source} holds ${otherFormat.title}, not ${format.title}`, {
        remedy: `set dataset.name=${other}`,
        details: { source },
      });
    }
  }
  throw new PipelineError("DATA_FOREIGN", `${source} does not hold ${format.title} in its binary layout`, {
    remedy: `give a folder with ${format.namesFile} and ${format.testFile} in it (the "binary version"), or set dataset.name=folder for a folder of images`,
    details: { source },
  });
}

async function findUnpacked(source: string, format: CifarFormat): Promise<string | undefined> {
  for (const folder of [source, join(source, format.folder)]) {
    if ((await isThere(join(folder, format.namesFile))) || (await isThere(join(folder, format.testFile))))
      return folder;
  }
  return undefined;
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

function unavailable(format: CifarFormat, archive: string, reason: string, cause: unknown): PipelineError {
  return new PipelineError("DATA_UNAVAILABLE", `${format.title} is not here and cannot be downloaded: ${reason}`, {
    remedy:
      `fetch ${format.archive.url} elsewhere and put it at ${archive}, or name a copy with dataset.source=PATH ` +
      "(or the environment variable CIFAR_SOURCE), or set dataset.source=synthetic for generated images",
    details: { url: format.archive.url, file: archive, md5: format.archive.md5 },
    ...(cause === undefined ? {} : { cause }),
  });
}
