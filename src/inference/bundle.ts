import { createHash, randomBytes } from "node:crypto";
import { mkdir, readdir, realpath, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { z } from "zod";
import { ignoreMissing, syncFolder, writeFileDurably } from "../base/durable.ts";
import { isPipelineError, PipelineError } from "../base/errors.ts";
import { fileDigest } from "../base/file-digest.ts";
import { readJsonFile } from "../base/json-file.ts";
import { storageError } from "../base/storage-error.ts";
import { safetensorsParts } from "../tensor/safetensors.ts";
import type { Named, Tensor } from "../tensor/tensor.ts";
import { type BundleMetadata, bundleMetadataSchema } from "./bundle-metadata.ts";

const modelFile = "model.onnx";
const metadataFile = "metadata.json";
/** Beside the model, where batch norm is folded away: the weights to train on from. */
export const weightsFile = "weights.safetensors";
/** Beside the model, where there were validation images: some of them, on which its forms are tried before they serve. */
export const sampleFile = "sample.safetensors";
const maxMetadataBytes = 16 * 1024 * 1024;

/** A model bundle on disk. */
export interface Bundle {
  readonly directory: string;
  readonly modelPath: string;
  readonly metadata: BundleMetadata;
}

export interface DamagedBundle {
  readonly directory: string;
  readonly error: PipelineError;
}

export interface BundleListing {
  /** Newest first, by metadata.createdAt. */
  readonly bundles: readonly Bundle[];
  /** Folders that hold a part of a bundle but can't be used, each with the reason. */
  readonly damaged: readonly DamagedBundle[];
}

export interface ReadBundleOptions {
  /** "digest" (default) reads model.onnx whole and compares its SHA-256; "metadata" only checks that the file is there. */
  readonly check?: "digest" | "metadata";
}

/**
 * Reads and checks a bundle folder.
 * @throws BUNDLE_NOT_FOUND when there is no such folder; BUNDLE_DAMAGED, naming the file, when a part is missing or altered.
 */
export async function readBundle(directory: string, { check = "digest" }: ReadBundleOptions = {}): Promise<Bundle> {
  const folder = resolve(directory);
  const info = await stat(folder).catch(ignoreMissing);
  if (!info?.isDirectory()) {
    throw new PipelineError("BUNDLE_NOT_FOUND", `there is no model bundle at ${folder}`, {
      remedy: "train a model first, or pass the path of a bundle folder",
      details: { path: folder },
    });
  }
  const metadata = await readJsonFile(join(folder, metadataFile), {
    ...{ schema: bundleMetadataSchema, maxBytes: maxMetadataBytes, damaged },
  });
  const modelPath = join(folder, modelFile);
  const model = await stat(modelPath).catch(ignoreMissing);
  if (!model?.isFile() || model.size === 0) throw damaged(modelPath, "the file is missing or empty");
  if (check === "digest") {
    const digest = await fileDigest(modelPath);
    if (digest !== metadata.modelSha256) {
      throw damaged(modelPath, `its SHA-256 is ${digest}, ${metadataFile} says ${metadata.modelSha256}`);
    }
  }
  return { directory: folder, modelPath, metadata };
}

/**
 * Every bundle below `root` (one folder, or link to one, each; once where several names lead to it). Damaged ones are
 * reported, not thrown; a missing root is an empty list.
 */
export async function listBundles(root: string, options: ReadBundleOptions = {}): Promise<BundleListing> {
  const entries = (await readdir(root, { withFileTypes: true }).catch(ignoreMissing)) ?? [];
  const folders = entries.filter(({ name }) => !name.startsWith(".") && !name.endsWith(".tmp"));
  // Folders before links: a link to one of them adds nothing.
  folders.sort((a, b) => Number(a.isSymbolicLink()) - Number(b.isSymbolicLink()));
  const bundles: Bundle[] = [];
  const broken: DamagedBundle[] = [];
  const seen = new Set<string>();
  for (const entry of folders) {
    if (!entry.isDirectory() && !entry.isSymbolicLink()) continue;
    const directory = join(root, entry.name);
    const place = await realpath(directory).catch(ignoreMissing);
    if (place === undefined && entry.isSymbolicLink()) {
      broken.push({ directory, error: damaged(directory, "it is a link to what is not there") });
    }
    if (place === undefined || seen.has(place)) continue;
    seen.add(place);
    try {
      bundles.push(await readBundle(directory, options));
    } catch (error) {
      // A folder removed between the listing and the reading, or a link to a file, is no bundle.
      if (isPipelineError(error, "BUNDLE_NOT_FOUND")) continue;
      if (!isPipelineError(error)) throw error;
      broken.push({ directory, error });
    }
  }
  bundles.sort((a, b) => {
    const byTime = Date.parse(b.metadata.createdAt) - Date.parse(a.metadata.createdAt);
    return byTime !== 0 ? byTime : b.metadata.name.localeCompare(a.metadata.name);
  });
  return { bundles, damaged: broken };
}

export interface NewestBundle {
  /** Its model was checked against its digest. */
  readonly bundle: Bundle | undefined;
  /** What can't be used, as far as it was looked at: all of the metadata, and the models newer than the bundle. */
  readonly damaged: readonly DamagedBundle[];
}

/** The newest usable bundle below `root`, and those that were passed over. */
export async function newestBundle(root: string): Promise<NewestBundle> {
  const { bundles, damaged } = await listBundles(root, { check: "metadata" });
  const passed = [...damaged];
  for (const { directory } of bundles) {
    try {
      return { bundle: await readBundle(directory), damaged: passed };
    } catch (error) {
      if (isPipelineError(error, "BUNDLE_DAMAGED")) passed.push({ directory, error });
      else if (!isPipelineError(error, "BUNDLE_NOT_FOUND")) throw error;
    }
  }
  return { bundle: undefined, damaged: passed };
}

export interface WriteBundleOptions {
  /** The bundle's own folder, to be created; its last part must be `metadata.name`. */
  readonly directory: string;
  readonly modelBytes: Uint8Array;
  /** Parameters and buffers as they were trained, for further training; kept beside the model. */
  readonly weights?: Named<Tensor> | undefined;
  /** Validation images, uint8 [N, 3, height, width]; see sampleOf. */
  readonly sample?: Tensor<"uint8"> | undefined;
  /** `modelSha256` is computed here. */
  readonly metadata: Omit<BundleMetadata, "modelSha256">;
}

/**
 * Writes a bundle so that at any moment there is either no folder of that name or a whole one: files go to a
 * temporary sibling folder, are flushed to the disk, and the folder is renamed.
 * @throws BUNDLE_EXISTS when the folder is already there; INVALID_ARGUMENT when the metadata breaks its schema;
 * STORAGE_FAILED
 */
export async function writeBundle(options: WriteBundleOptions): Promise<Bundle> {
  const { directory, modelBytes, weights, sample, metadata } = options;
  const folder = resolve(directory);
  const complete = { ...metadata, modelSha256: createHash("sha256").update(modelBytes).digest("hex") };
  const parsed = bundleMetadataSchema.safeParse(complete);
  if (!parsed.success) {
    throw new PipelineError("INVALID_ARGUMENT", `bundle metadata is invalid: ${z.prettifyError(parsed.error)}`, {
      details: { directory: folder },
    });
  }
  if (modelBytes.length === 0) throw new PipelineError("INVALID_ARGUMENT", "bundle model has no bytes");
  if (basename(folder) !== metadata.name) {
    throw new PipelineError(
      "INVALID_ARGUMENT",
      `bundle folder ${basename(folder)} and metadata.name ${metadata.name} differ`,
      { remedy: "write the bundle to a folder of its own name" },
    );
  }
  if ((await stat(folder).catch(ignoreMissing)) !== undefined) throw existing(folder);

  const parent = dirname(folder);
  const temporary = join(parent, `.${metadata.name}.${process.pid}.${randomBytes(4).toString("hex")}.tmp`);
  try {
    await mkdir(temporary, { recursive: true });
    await writeFileDurably(join(temporary, modelFile), modelBytes);
    if (weights !== undefined) {
      const architecture = metadata.model.architecture;
      const file = safetensorsParts({ tensors: weights, metadata: { architecture } });
      await writeFileDurably(join(temporary, weightsFile), file);
    }
    if (sample !== undefined) {
      await writeFileDurably(
        join(temporary, sampleFile),
        safetensorsParts({ tensors: { images: sample }, metadata: {} }),
      );
    }
    await writeFileDurably(join(temporary, metadataFile), Buffer.from(`${JSON.stringify(parsed.data, null, 2)}\n`));
    await syncFolder(temporary);
    await rename(temporary, folder).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === "ENOTEMPTY" || cause.code === "EEXIST" || cause.code === "EPERM")
        throw existing(folder, cause);
      throw cause;
    });
    await syncFolder(parent);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw storageError(error, folder) ?? error;
  }
  return { directory: folder, modelPath: join(folder, modelFile), metadata: parsed.data };
}

function damaged(path: string, reason: string, cause?: unknown): PipelineError {
  return new PipelineError("BUNDLE_DAMAGED", `model bundle file ${path} is damaged: ${reason}`, {
    remedy: "restore the bundle from a backup, or delete its folder and train again",
    details: { path },
    cause,
  });
}

function existing(folder: string, cause?: unknown): PipelineError {
  return new PipelineError("BUNDLE_EXISTS", `model bundle folder ${folder} is already there`, {
    remedy: "choose another name, or delete the folder first",
    details: { path: folder },
    cause,
  });
}
