import { readFileSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { join } from "node:path";

/** Where Linux tells of control groups; a test has its own. */
export interface CgroupFiles {
  readonly proc?: string;
  readonly sys?: string;
}

/**
 * Cores that this process may keep busy: those that it may run on, no more than its control group's CPU quota (a
 * container's --cpus), rounded up.
 */
export function availableCores(files: CgroupFiles = {}): number {
  const quota = smallest(files, { controller: "cpu", v2: ["cpu.max"], v1: ["cpu.cfs_quota_us", "cpu.cfs_period_us"] });
  return Math.max(1, Math.min(availableParallelism(), Math.ceil(quota)));
}

/** Bytes of memory that this process may use: the machine's, no more than its control group's limit. */
export function availableMemory(files: CgroupFiles = {}): number {
  const limit = smallest(files, { controller: "memory", v2: ["memory.max"], v1: ["memory.limit_in_bytes"] });
  return Math.min(totalmem(), limit);
}

interface Limit {
  readonly controller: string;
  readonly v2: readonly string[];
  readonly v1: readonly string[];
}

/** Over the group of this process and those around it; Infinity where nothing limits. */
function smallest({ proc = "/proc", sys = "/sys/fs/cgroup" }: CgroupFiles, { controller, v2, v1 }: Limit): number {
  let least = Number.POSITIVE_INFINITY;
  for (const line of (read(join(proc, "self", "cgroup")) ?? "").trim().split("\n")) {
    // "0::/path" of version 2, "4:cpu,cpuacct:/path" of version 1.
    const [, controllers, path = "/"] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (controllers === undefined || (controllers !== "" && !controllers.split(",").includes(controller))) continue;
    const [root, names] = controllers === "" ? [sys, v2] : [join(sys, controllers), v1];
    // A container sees its own group at the root, under whatever name the host has for it.
    for (const group of new Set([...groupsAround(path), "/"])) {
      least = Math.min(least, ratioOf(names.map((name) => read(join(root, group, name))).join(" ")));
    }
  }
  return least;
}

/** "/a/b": itself and "/a". */
function groupsAround(path: string): string[] {
  const parts = path.split("/").filter((part) => part !== "" && part !== "..");
  return parts.map((_, i) => parts.slice(0, parts.length - i).join("/"));
}

/** "LIMIT" or "LIMIT PERIOD"; "max" and -1 are no limit. */
function ratioOf(text: string): number {
  const [limit = Number.NaN, period = 1] = text.trim().split(/\s+/).map(Number);
  return limit > 0 && period > 0 ? limit / period : Number.POSITIVE_INFINITY;
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // Other systems, other versions and other controllers have no such file.
    return undefined;
  }
}
