import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** What a control group (version 2) with limits has used of them; a part without a limit is undefined. */
export interface CgroupSample {
  readonly cpu: { readonly usedSeconds: number; readonly cores: number } | undefined;
  readonly memory: { readonly usedBytes: number; readonly limitBytes: number } | undefined;
}

export interface CgroupPlaces {
  readonly procPath: string;
  readonly cgroupPath: string;
}

/** Reads the group of this process, or the nearest one around it that has a limit. */
export async function readCgroup({ procPath, cgroupPath }: CgroupPlaces): Promise<CgroupSample> {
  const own = /^0::(.*)$/m.exec((await read(join(procPath, "self", "cgroup"))) ?? "")?.[1];
  if (own === undefined) return { cpu: undefined, memory: undefined };
  // A container sees its own group at the root, under whatever name the host has for it.
  const parts = own.split("/").filter((part) => part !== "" && part !== "..");
  const groups = [...parts.map((_, i) => parts.slice(0, parts.length - i).join("/")), ""];
  const [cpu, memory] = await Promise.all([
    first(groups.map((group) => cpuOf(join(cgroupPath, group)))),
    first(groups.map((group) => memoryOf(join(cgroupPath, group)))),
  ]);
  return { cpu, memory };
}

async function cpuOf(folder: string): Promise<CgroupSample["cpu"]> {
  const [quota = Number.NaN, period = Number.NaN] = ((await read(join(folder, "cpu.max"))) ?? "")
    .split(" ")
    .map(Number);
  const used = field((await read(join(folder, "cpu.stat"))) ?? "", "usage_usec");
  if (!(quota > 0 && period > 0) || used === undefined) return undefined;
  return { usedSeconds: used / 1e6, cores: quota / period };
}

/** Pages of files that nobody has used lately are given back when they are wanted: they are no use, as in Kubernetes. */
async function memoryOf(folder: string): Promise<CgroupSample["memory"]> {
  const limit = Number(await read(join(folder, "memory.max")));
  const current = Number(await read(join(folder, "memory.current")));
  if (!(limit > 0 && current >= 0)) return undefined;
  const idle = field((await read(join(folder, "memory.stat"))) ?? "", "inactive_file") ?? 0;
  return { usedBytes: Math.max(0, current - idle), limitBytes: limit };
}

function field(text: string, key: string): number | undefined {
  const value = new RegExp(`^${key} (\\d+)$`, "m").exec(text)?.[1];
  return value === undefined ? undefined : Number(value);
}

async function first<T>(found: readonly Promise<T | undefined>[]): Promise<T | undefined> {
  return (await Promise.all(found)).find((each) => each !== undefined);
}

async function read(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, "utf8")).trim();
  } catch {
    // Version 1, another system, or a group without this controller.
    return undefined;
  }
}
