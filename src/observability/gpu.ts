import { execFile } from "node:child_process";

export interface GpuSample {
  readonly index: number;
  readonly usagePercent: number;
  readonly memoryPercent: number;
}

export interface GpuMonitor {
  /** The last figures; starts a new reading in the background when they are old. Never waits, never throws. */
  sample(): readonly GpuSample[];
}

export interface GpuMonitorOptions {
  readonly command?: string;
  /** Least time between two calls of the command. */
  readonly intervalMs?: number;
  readonly now?: () => number;
}

const query = ["--query-gpu=index,utilization.gpu,memory.used,memory.total", "--format=csv,noheader,nounits"];

/** Asks nvidia-smi, one call at a time and at most one an interval; a machine without it is asked only once. */
export function createGpuMonitor({
  command = "nvidia-smi",
  intervalMs = 10_000,
  now = () => performance.now(),
}: GpuMonitorOptions = {}): GpuMonitor {
  let last: readonly GpuSample[] = [];
  let state: "idle" | "asking" | "absent" = "idle";
  let askedAt = Number.NEGATIVE_INFINITY;
  return {
    sample() {
      if (state === "idle" && now() - askedAt >= intervalMs) {
        state = "asking";
        askedAt = now();
        execFile(command, query, { timeout: 5000 }, (error, stdout) => {
          // No such program: there is no GPU that it could tell of. Any other failure may pass.
          state = error !== null && error.code === "ENOENT" ? "absent" : "idle";
          last = error === null ? parseGpus(stdout) : [];
        });
      }
      return last;
    },
  };
}

export function parseGpus(text: string): GpuSample[] {
  return text.split("\n").flatMap((line) => {
    const [index, usagePercent, used, total] = line.split(",").map((field) => Number(field.trim()));
    if (index === undefined || usagePercent === undefined || used === undefined || total === undefined) return [];
    // "[N/A]" where the driver can't tell.
    if (![index, usagePercent, used, total].every(Number.isFinite) || total <= 0) return [];
    return [{ index, usagePercent, memoryPercent: (100 * used) / total }];
  });
}
