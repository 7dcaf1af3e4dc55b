import { execFile } from "node:child_process";
import { access, constants, readdir, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { type Device, deviceProblem } from "../backends/onnx/devices.ts";
import { blockSize } from "../backends/onnx/probe.ts";
import { statementOf } from "../base/error-transfer.ts";
import { isPipelineError } from "../base/errors.ts";
import { availableCores, availableMemory } from "../base/machine-limits.ts";
import type { Config } from "../config/schema.ts";
import { cifarFormats } from "../data/cifar.ts";
import { modelsDirectory } from "../experiments/run-folder.ts";
import { listBundles } from "../inference/bundle.ts";
import { createSystemMonitor } from "../observability/system.ts";
import { defaultStorePath } from "../tracking/store.ts";
import { checkAddress } from "./check-address.ts";
import { bytes, count } from "./display/format.ts";

/** One thing that was looked at. "missing" can be lived without, "problem" can't. */
export interface Finding {
  readonly name: string;
  readonly status: "ok" | "missing" | "problem";
  readonly detail: string;
  /** How to get it or to mend it. */
  readonly remedy?: string;
}

const leastFreeBytes = 2 * 1024 ** 3;
const leastMemoryBytes = 2 * 1024 ** 3;

/** What is here, what is missing, and how to get it. Changes nothing. */
export async function diagnose(config: Config): Promise<readonly Finding[]> {
  return Promise.all([
    node(),
    memory(),
    kernels(),
    gpu("cuda", "NVIDIA GPU (CUDA)"),
    gpu("webgpu", "GPU (WebGPU)"),
    data(config),
    disk(),
    folder("checkpoints", config.training.checkpoint_dir, "training.checkpoint_dir"),
    folder("tracking store", dirname(config.mlflow.tracking_uri ?? defaultStorePath), "mlflow.tracking_uri"),
    bundles(config),
    address(config),
    tool("git", ["--version"], "the git revision is recorded with runs and bundles"),
  ]);
}

async function node(): Promise<Finding> {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const detail = `Node ${process.versions.node} on ${process.platform} ${process.arch}`;
  if (major > 20 || (major === 20 && minor >= 19)) return { name: "node", status: "ok", detail };
  return { name: "node", status: "problem", detail, remedy: "install Node 20.19 or newer" };
}

async function memory(): Promise<Finding> {
  const total = availableMemory();
  const detail = `${availableCores()} cores, ${bytes(total)} of memory`;
  if (total >= leastMemoryBytes) return { name: "machine", status: "ok", detail };
  return {
    name: "machine",
    status: "missing",
    detail,
    remedy: "train with smaller batches: --set training.batch_size=64",
  };
}

async function kernels(): Promise<Finding> {
  const block = await blockSize();
  if (block > 0)
    return { name: "cpu kernels", status: "ok", detail: `blocked convolutions, ${block} channels a block` };
  const detail = "no blocked convolutions on this processor: training takes a few times as long";
  return { name: "cpu kernels", status: "missing", detail, remedy: "use an x86-64 processor with AVX2 or AVX-512" };
}

async function gpu(device: Device, name: string): Promise<Finding> {
  const problem = await deviceProblem(device);
  if (problem === undefined) return { name, status: "ok", detail: `usable: --set training.device=${device}` };
  const remedy =
    device === "cuda"
      ? "optional: needs an NVIDIA GPU and onnxruntime-node with its CUDA libraries"
      : "optional: needs a GPU with a Vulkan, Metal or D3D12 driver";
  return { name, status: "missing", detail: firstLine(problem), remedy };
}

async function data({ dataset }: Config): Promise<Finding> {
  const { name, source, data_dir: dataDir } = dataset;
  if (source === "synthetic") return { name: "images", status: "ok", detail: "generated (SYNTHETIC)" };
  if (source !== "official") {
    const info = await stat(source).catch(() => undefined);
    if (info !== undefined) return { name: "images", status: "ok", detail: `${name} at ${source}` };
    return {
      name: "images",
      status: "problem",
      detail: `${source} is not there`,
      remedy: "correct dataset.source or CIFAR_SOURCE",
    };
  }
  if (name === "folder")
    return { name: "images", status: "problem", detail: "no folder named", remedy: "set dataset.source" };
  const { archive } = cifarFormats[name];
  const here = await readdir(dataDir).catch((): string[] => []);
  const unpacked = here.find((entry) => entry === `${name}-${archive.md5.slice(0, 12)}`);
  if (unpacked !== undefined) return { name: "images", status: "ok", detail: `${name} in ${join(dataDir, unpacked)}` };
  if (here.includes(archive.file))
    return { name: "images", status: "ok", detail: `${join(dataDir, archive.file)}, packed` };
  return {
    name: "images",
    status: "missing",
    detail: `${name} is not in ${dataDir} yet`,
    remedy:
      "`cifar data prepare` downloads it; or name a copy with CIFAR_SOURCE=PATH; or use --set dataset.source=synthetic",
  };
}

async function disk(): Promise<Finding> {
  const { diskFreeBytes } = await createSystemMonitor().sample();
  if (diskFreeBytes === null) return { name: "disk", status: "ok", detail: "free space unknown on this platform" };
  const detail = `${bytes(diskFreeBytes)} free`;
  if (diskFreeBytes >= leastFreeBytes) return { name: "disk", status: "ok", detail };
  return {
    name: "disk",
    status: "problem",
    detail,
    remedy: `free ${bytes(leastFreeBytes)}: images and checkpoints need room`,
  };
}

/** A folder that exists and can be written, or can be made. */
async function folder(name: string, path: string, key: string): Promise<Finding> {
  for (let existing = resolve(path); ; existing = dirname(existing)) {
    const info = await stat(existing).catch(() => undefined);
    if (info === undefined && dirname(existing) !== existing) continue;
    const writable = await access(existing, constants.W_OK).then(
      () => true,
      () => false,
    );
    if (info?.isDirectory() && writable) return { name, status: "ok", detail: path };
    const detail = info?.isDirectory() ? `${existing} can't be written` : `${existing} is no folder`;
    return { name, status: "problem", detail, remedy: `mend that, or set ${key} to another place` };
  }
}

async function bundles(config: Config): Promise<Finding> {
  const root = modelsDirectory(config);
  const listing = await listBundles(root);
  const [newest] = listing.bundles;
  if (listing.damaged.length > 0) {
    const detail = `${listing.damaged.length} damaged in ${root}: ${firstLine(listing.damaged[0]!.error.message)}`;
    return { name: "models", status: "missing", detail, remedy: "delete the damaged folders" };
  }
  if (newest === undefined)
    return {
      name: "models",
      status: "missing",
      detail: `none in ${root}`,
      remedy: "`cifar train` or `cifar up` makes one",
    };
  const mark = newest.metadata.dataset.synthetic ? " [SYNTHETIC]" : "";
  return {
    name: "models",
    status: "ok",
    detail: `${count(listing.bundles.length)} in ${root}, newest ${newest.metadata.name}${mark}`,
  };
}

async function address({ serving }: Config): Promise<Finding> {
  const name = "port";
  try {
    await checkAddress(serving.host, serving.port);
    return { name, status: "ok", detail: `${serving.host}:${serving.port} is free` };
  } catch (error) {
    if (!isPipelineError(error)) throw error;
    return { name, status: "missing", detail: statementOf(error), remedy: error.remedy ?? "choose another port" };
  }
}

async function tool(name: string, args: readonly string[], use: string): Promise<Finding> {
  try {
    const { stdout } = await promisify(execFile)(name, [...args], { timeout: 5000 });
    return { name, status: "ok", detail: firstLine(stdout) };
  } catch {
    // Not installed or not working: the same for whoever wants to use it.
    return { name, status: "missing", detail: "not found", remedy: `optional: with it, ${use}` };
  }
}

function firstLine(text: string): string {
  return text.trim().split("\n", 1)[0]!.slice(0, 160);
}
