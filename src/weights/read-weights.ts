import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { isMissing } from "../base/durable.ts";
import { isPipelineError, PipelineError } from "../base/errors.ts";
import { parseSafetensors, type SafetensorsType } from "../tensor/safetensors.ts";
import type { Named, Tensor } from "../tensor/tensor.ts";
import { damagedWeights } from "./damaged.ts";
import { type ElementType, isFloat, toFloat32 } from "./element-types.ts";
import { type RawTensors, readPth } from "./pth.ts";

/** Float32 tensors by name, from one file. */
export interface WeightsFile {
  readonly path: string;
  /** SHA-256 of the file, hexadecimal. */
  readonly digest: string;
  readonly tensors: Named<Tensor<"float32">>;
  /** Tensors of whole numbers, which no network here has: counters of steps. */
  readonly ignored: readonly string[];
}

/** Of a model bundle: its parameters and buffers as they were trained. */
const bundleWeightsFile = "weights.safetensors";

/** What one array can hold on every supported platform. */
const maxBytes = 2 ** 31 - 1;

/**
 * Reads the weights in a .pth file of PyTorch, a .safetensors file or a model bundle; which one it is, its content
 * tells. DataParallel's prefix "module." is taken away.
 * @throws WEIGHTS_UNAVAILABLE when there is no such file, WEIGHTS_DAMAGED when it cannot be used
 */
export async function readWeights(path: string): Promise<WeightsFile> {
  const file = await locate(path);
  const bytes = await readFile(file);
  const raw = parse(bytes, file);
  const shared = "module.";
  const skip = raw.size > 0 && [...raw.keys()].every((name) => name.startsWith(shared)) ? shared.length : 0;
  const tensors: [string, Tensor<"float32">][] = [];
  const ignored: string[] = [];
  for (const [full, tensor] of raw) {
    const name = full.slice(skip);
    if (isFloat(tensor.type)) tensors.push([name, inFile(file, () => toFloat32(tensor))]);
    else ignored.push(name);
  }
  const digest = createHash("sha256").update(bytes).digest("hex");
  return { path: file, digest, tensors: Object.fromEntries(tensors), ignored };
}

async function locate(path: string): Promise<string> {
  const info = await stat(path).catch(ignoreMissing);
  if (info === undefined) throw unavailable(path, "there is nothing of that name");
  const file = info.isDirectory() ? join(path, bundleWeightsFile) : path;
  const found = info.isDirectory() ? await stat(file).catch(ignoreMissing) : info;
  if (found === undefined)
    throw unavailable(path, `a folder without ${bundleWeightsFile} is no model bundle with weights`);
  if (!found.isFile()) throw unavailable(path, "it is no file");
  if (found.size > maxBytes) throw damagedWeights(`${file} has ${found.size} bytes, the limit is ${maxBytes}`);
  return file;
}

function unavailable(path: string, why: string): PipelineError {
  return new PipelineError("WEIGHTS_UNAVAILABLE", `no weights at ${path}: ${why}`, {
    remedy: "give the path of a .pth file, a .safetensors file or a model bundle",
    details: { path },
  });
}

const typeNames: Readonly<Record<SafetensorsType, ElementType>> = {
  F64: "float64",
  F32: "float32",
  F16: "float16",
  BF16: "bfloat16",
  I64: "int64",
  I32: "int32",
  I16: "int16",
  I8: "int8",
  U8: "uint8",
  BOOL: "bool",
};

function parse(bytes: Buffer, file: string): RawTensors {
  return inFile(file, () => {
    // "PK" begins a zip archive, 0x80 a pickle; a safetensors file has its JSON header behind eight bytes.
    if (bytes.toString("latin1", 0, 2) === "PK" || bytes[0] === 0x80) return readPth(bytes);
    if (bytes[8] !== 0x7b) throw damagedWeights("it is neither a zip file of PyTorch nor a safetensors file");
    const { entries } = parseSafetensors(bytes);
    return new Map([...entries].map(([name, entry]) => [name, { ...entry, type: typeNames[entry.type] }]));
  });
}

/** Names the file in the errors of `read`. */
function inFile<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!isPipelineError(error)) throw error;
    throw new PipelineError("WEIGHTS_DAMAGED", `${file}: ${error.message}`, { details: { path: file }, cause: error });
  }
}

function ignoreMissing(error: unknown): undefined {
  if (!isMissing(error)) throw error;
  return undefined;
}
