import { mkdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { isMissing, syncFolder, writeFileDurably } from "../base/durable.ts";
import { isPipelineError, PipelineError } from "../base/errors.ts";
import { storageError } from "../base/storage-error.ts";
import {
  decodeSafetensors,
  encodeSafetensors,
  readSafetensors,
  safetensorsParts,
  type TensorFile,
} from "../tensor/safetensors.ts";
import type { Named, Tensor } from "../tensor/tensor.ts";
import type { BestSoFar } from "./early-stopping.ts";
import type { ClassificationMetrics } from "./metrics.ts";

const metricsSchema = z.object({
  loss: z.number(),
  accuracy: z.number(),
  macroPrecision: z.number(),
  macroRecall: z.number(),
  macroF1: z.number(),
  perClass: z.array(
    z.object({ label: z.string(), precision: z.number(), recall: z.number(), f1: z.number(), support: z.number() }),
  ),
  confusion: z.array(z.array(z.number())),
});

const progressSchema = z.object({
  formatVersion: z.literal(1),
  fingerprint: z.string(),
  epoch: z.int().min(0),
  step: z.int().min(0),
  globalStep: z.int().min(0),
  running: z.object({ loss: z.number(), correct: z.number(), images: z.number(), seconds: z.number() }),
  best: z.object({ epoch: z.int(), value: z.number().optional(), epochsSince: z.int() }),
  bestMetrics: metricsSchema.optional(),
  lastMetrics: metricsSchema.optional(),
});

/** How far a training run has come. */
export interface Progress {
  readonly formatVersion: 1;
  /** Names the configuration that the run was started with: only the same may resume it. */
  readonly fingerprint: string;
  /** Whole epochs done. */
  readonly epoch: number;
  /** Steps done in the epoch after those. */
  readonly step: number;
  readonly globalStep: number;
  /** Sums over the steps done in the unfinished epoch. */
  readonly running: {
    readonly loss: number;
    readonly correct: number;
    readonly images: number;
    readonly seconds: number;
  };
  readonly best: BestSoFar;
  /** Validation metrics of the best epoch and of the last one. */
  readonly bestMetrics?: ClassificationMetrics | undefined;
  readonly lastMetrics?: ClassificationMetrics | undefined;
}

/** All that a run needs to go on as if it had never stopped. */
export interface Checkpoint {
  readonly progress: Progress;
  /** Every variable of the training step. */
  readonly state: Named<Tensor>;
  /** Weights of the best epoch so far; empty before the first validation. */
  readonly bestWeights: Named<Tensor>;
}

const fileName = "last.safetensors";
const previousName = "previous.safetensors";
const damagedName = "damaged.safetensors";
const prefixes = { state: "state:", bestWeights: "best:" } as const;

/** 64 GiB: far above any network here, so a wrong path to a huge file is no way to run out of memory. */
const maxFileBytes = 2 ** 36;

/**
 * Writes `last.safetensors` in the folder; what was there becomes `previous.safetensors`. At every moment at least one
 * of the two is whole, whatever kills the process.
 * @returns the path written
 * @throws STORAGE_FAILED when the disk is full, read-only or broken; nothing of the new checkpoint is left then
 */
export async function saveCheckpoint(directory: string, checkpoint: Checkpoint): Promise<string> {
  const path = join(directory, fileName);
  const temporary = `${path}.partial`;
  const parts = safetensorsParts(tensorFileOf(checkpoint));
  try {
    await mkdir(directory, { recursive: true });
    await rm(temporary, { force: true });
    await writeFileDurably(temporary, parts);
    if (await exists(path)) await rename(path, join(directory, previousName));
    await rename(temporary, path);
    await syncFolder(directory);
  } catch (error) {
    // On a full disk the room is needed, and half a checkpoint is of no use.
    await rm(temporary, { force: true });
    throw storageError(error, path) ?? error;
  }
  return path;
}

/** A checkpoint as the bytes of its file, for small ones: an array has at most 4 GiB. */
export function encodeCheckpoint(checkpoint: Checkpoint): Uint8Array {
  return encodeSafetensors(tensorFileOf(checkpoint));
}

function tensorFileOf({ progress, state, bestWeights }: Checkpoint): TensorFile {
  return {
    tensors: { ...withPrefix(prefixes.state, state), ...withPrefix(prefixes.bestWeights, bestWeights) },
    metadata: { format: "cifar-pipeline-checkpoint", progress: JSON.stringify(progress) },
  };
}

/** @throws CHECKPOINT_DAMAGED; `from` names where the bytes come from */
export function decodeCheckpoint(bytes: Uint8Array, from: string): Checkpoint {
  try {
    return checkpointOf(decodeSafetensors(bytes, { digest: "required" }));
  } catch (cause) {
    throw unreadable(from, cause);
  }
}

function checkpointOf({ tensors, metadata }: TensorFile): Checkpoint {
  return {
    progress: progressSchema.parse(JSON.parse(metadata.progress ?? "null")),
    state: withoutPrefix(prefixes.state, tensors),
    bestWeights: withoutPrefix(prefixes.bestWeights, tensors),
  };
}

function unreadable(from: string, cause: unknown): PipelineError {
  const why = cause instanceof z.ZodError ? z.prettifyError(cause) : (cause as Error).message;
  return new PipelineError("CHECKPOINT_DAMAGED", `the checkpoint ${from} cannot be read: ${why}`, {
    remedy: "delete it to start anew or from the previous one",
    cause,
  });
}

export interface LoadedCheckpoint {
  readonly checkpoint: Checkpoint;
  readonly path: string;
  /** Says why the previous checkpoint was taken, where it was. */
  readonly warning: string | undefined;
}

/**
 * Reads the newest whole checkpoint of a folder. A damaged `last.safetensors` is renamed to `damaged.safetensors` when
 * the previous one takes its place.
 * @throws CHECKPOINT_NOT_FOUND when there is none, CHECKPOINT_DAMAGED when none is whole
 */
export async function loadCheckpoint(directory: string): Promise<LoadedCheckpoint> {
  const last = join(directory, fileName);
  const previous = join(directory, previousName);
  if (!(await exists(last)) && !(await exists(previous))) {
    throw new PipelineError("CHECKPOINT_NOT_FOUND", `no checkpoint in ${directory}`, {
      remedy: "start the training without resume, or name the folder of a started run",
    });
  }
  try {
    return { checkpoint: await readCheckpoint(last), path: last, warning: undefined };
  } catch (cause) {
    if (!isPipelineError(cause, "CHECKPOINT_DAMAGED") && !isPipelineError(cause, "CHECKPOINT_NOT_FOUND")) throw cause;
    if (!(await exists(previous))) throw cause;
    const checkpoint = await readCheckpoint(previous);
    // Out of the way, or the next save would put the damaged file in the place of the whole one.
    if (await exists(last)) await rename(last, join(directory, damagedName));
    const { epoch, step } = checkpoint.progress;
    const warning = `${cause.message}; going on from the previous checkpoint: ${epoch} epochs and ${step} steps done`;
    return { checkpoint, path: previous, warning };
  }
}

/** @throws CHECKPOINT_NOT_FOUND, CHECKPOINT_DAMAGED */
export async function readCheckpoint(path: string): Promise<Checkpoint> {
  try {
    const { size } = await stat(path);
    if (size > maxFileBytes) {
      throw new PipelineError("CHECKPOINT_DAMAGED", `it has ${size} bytes: that is no checkpoint`);
    }
    return checkpointOf(await readSafetensors(path, { digest: "required" }));
  } catch (cause) {
    if (isMissing(cause)) throw new PipelineError("CHECKPOINT_NOT_FOUND", `no checkpoint at ${path}`, { cause });
    // A failure of the system says nothing about the file.
    if (cause instanceof Error && "syscall" in cause) throw storageError(cause, path) ?? cause;
    throw unreadable(path, cause);
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (cause) {
    if (isMissing(cause)) return false;
    throw cause;
  }
}

function withPrefix(prefix: string, tensors: Named<Tensor>): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(tensors).map(([name, value]) => [`${prefix}${name}`, value]));
}

function withoutPrefix(prefix: string, tensors: Named<Tensor>): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(tensors)
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, value]) => [name.slice(prefix.length), value]),
  );
}
