import { readFile, statfs } from "node:fs/promises";
import { cpus, freemem, loadavg, totalmem } from "node:os";
import { availableCores } from "../base/machine-limits.ts";
import { type CgroupSample, readCgroup } from "./cgroup.ts";
import { createGpuMonitor, type GpuMonitor, type GpuSample } from "./gpu.ts";
import { type IoCounters, parseDisks, parseNetwork } from "./io-counters.ts";

/**
 * Load of the machine, or, in a container with limits (control groups, version 2), of what it may use: 100 % of the CPU is
 * its quota then, 100 % of the memory its limit. A figure that this platform can't give is null.
 */
export interface SystemSample {
  /** Percent of all cores, since the previous sample. */
  readonly cpuPercent: number | null;
  readonly cpuCount: number;
  /** Mean length of the run queue over the last minute; null on Windows. */
  readonly loadAverage1m: number | null;
  readonly memoryPercent: number | null;
  readonly memoryTotalBytes: number;
  readonly memoryAvailableBytes: number;
  readonly diskPercent: number | null;
  readonly diskTotalBytes: number | null;
  readonly diskFreeBytes: number | null;
  /** Resident memory of this process. */
  readonly processMemoryBytes: number;
  /** Where the memory's figures come from; "os" counts reclaimable memory as used on some platforms. */
  readonly source: "cgroup" | "proc" | "os";
  /** Network and disk traffic; a part that this platform can't give is undefined. */
  readonly io?: IoCounters;
  readonly gpus?: readonly GpuSample[];
}

export interface SystemMonitor {
  /** At most one reading per `minIntervalMs`; calls in between get the last one. */
  sample(): Promise<SystemSample>;
}

export interface SystemMonitorOptions {
  /** A path on the file system to watch; default the working folder. */
  readonly diskPath?: string;
  readonly minIntervalMs?: number;
  /** Where /proc is; tests use a folder of their own. */
  readonly procPath?: string;
  readonly cgroupPath?: string;
  readonly gpu?: GpuMonitor;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

interface CpuTimes {
  readonly busy: number;
  readonly total: number;
}

/** Reads /proc (Linux) or what Node's os module tells; the only process it may spawn is nvidia-smi, seldom. */
export function createSystemMonitor({
  diskPath = ".",
  minIntervalMs = 500,
  procPath = "/proc",
  cgroupPath = "/sys/fs/cgroup",
  gpu = createGpuMonitor(),
  now = () => performance.now(),
}: SystemMonitorOptions = {}): SystemMonitor {
  let previous: CpuTimes | undefined;
  let previousPercent: number | null = null;
  let last: { readonly at: number; readonly sample: Promise<SystemSample> } | undefined;

  async function read(): Promise<SystemSample> {
    const group = await readCgroup({ procPath, cgroupPath });
    const [times, memory, disk, io] = await Promise.all([
      group.cpu === undefined ? cpuTimes(procPath) : groupTimes(group.cpu, now()),
      memoryOf(procPath, group),
      diskOf(diskPath),
      ioOf(procPath),
    ]);
    if (previous === undefined) {
      // Without an earlier reading: the mean since the machine started; a group's start is not known.
      previousPercent = group.cpu === undefined ? percent(times.busy, times.total) : null;
    } else if (times.total > previous.total) {
      previousPercent = percent(times.busy - previous.busy, times.total - previous.total);
    }
    previous = times;
    return {
      cpuPercent: previousPercent,
      cpuCount: availableCores(),
      loadAverage1m: process.platform === "win32" ? null : loadavg()[0]!,
      memoryPercent: percent(memory.total - memory.available, memory.total),
      memoryTotalBytes: memory.total,
      memoryAvailableBytes: memory.available,
      diskPercent: disk === undefined ? null : percent(disk.total - disk.free, disk.total - disk.free + disk.available),
      diskTotalBytes: disk?.total ?? null,
      diskFreeBytes: disk?.available ?? null,
      processMemoryBytes: process.memoryUsage.rss(),
      source: memory.source,
      io,
      gpus: gpu.sample(),
    };
  }

  return {
    sample() {
      const at = now();
      if (last === undefined || at - last.at >= minIntervalMs) last = { at, sample: read() };
      return last.sample;
    },
  };
}

/** Jiffies of all cores from the first line of /proc/stat; idle and iowait are not busy, guest time is within user time. */
async function cpuTimes(procPath: string): Promise<CpuTimes> {
  const text = await readProc(`${procPath}/stat`);
  const fields = /^cpu +(.*)$/m.exec(text ?? "")?.[1];
  if (fields !== undefined) {
    const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0] = fields
      .split(/ +/)
      .map(Number);
    const busy = user + nice + system + irq + softirq + steal;
    return { busy, total: busy + idle + iowait };
  }
  let busy = 0;
  let total = 0;
  for (const { times } of cpus()) {
    busy += times.user + times.nice + times.sys + times.irq;
    total += times.user + times.nice + times.sys + times.irq + times.idle;
  }
  return { busy, total };
}

/** Core seconds that the group used, and could have used by now. */
function groupTimes({ usedSeconds, cores }: NonNullable<CgroupSample["cpu"]>, nowMs: number): CpuTimes {
  return { busy: usedSeconds, total: (nowMs / 1000) * cores };
}

async function memoryOf(procPath: string, { memory }: CgroupSample) {
  if (memory !== undefined && memory.limitBytes < totalmem()) {
    const { limitBytes: total, usedBytes } = memory;
    return { total, available: Math.max(0, total - usedBytes), source: "cgroup" as const };
  }
  const text = (await readProc(`${procPath}/meminfo`)) ?? "";
  const kib = (key: string) => Number(new RegExp(`^${key}: +(\\d+) kB$`, "m").exec(text)?.[1]);
  const [total, available] = [kib("MemTotal") * 1024, kib("MemAvailable") * 1024];
  if (Number.isFinite(total) && Number.isFinite(available)) return { total, available, source: "proc" as const };
  return { total: totalmem(), available: freemem(), source: "os" as const };
}

async function diskOf(path: string) {
  try {
    const { bsize, blocks, bfree, bavail } = await statfs(path);
    return { total: blocks * bsize, free: bfree * bsize, available: bavail * bsize };
  } catch {
    // A file system that can't be asked gives null figures; everything else goes on.
    return undefined;
  }
}

async function ioOf(procPath: string): Promise<IoCounters> {
  const [network, disks] = await Promise.all([readProc(`${procPath}/net/dev`), readProc(`${procPath}/diskstats`)]);
  return {
    network: network === undefined ? undefined : parseNetwork(network),
    disk: disks === undefined ? undefined : parseDisks(disks),
  };
}

async function readProc(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch {
    // Not Linux, or /proc is not mounted: the os module answers.
    return undefined;
  }
}

function percent(part: number, whole: number): number | null {
  return whole > 0 ? Math.min(100, Math.max(0, (100 * part) / whole)) : null;
}
