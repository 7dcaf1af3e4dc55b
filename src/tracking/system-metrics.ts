import { execFile } from "node:child_process";
import { cpus, freemem, totalmem } from "node:os";
import { promisify } from "node:util";

export interface SystemWatchOptions {
  /** Between two samples; 0: none. */
  readonly intervalMs: number;
  /** When the run began, in milliseconds since 1970: the step of a sample is the intervals since then, also when resumed. */
  readonly since: number;
  /** Names are those of MLflow's own system metrics. */
  readonly onSample: (values: Readonly<Record<string, number>>, step: number) => void;
}

const megabyte = 1_000_000;

/** Samples how busy the machine is, until it is disposed. */
export function watchSystem({ intervalMs, since, onSample }: SystemWatchOptions): Disposable {
  if (intervalMs <= 0) return { [Symbol.dispose]: () => undefined };
  let before = cpuTimes();
  let last = Number.NEGATIVE_INFINITY;
  let gpu: "unknown" | "there" | "none" = "unknown";
  let stopped = false;
  const take = async (): Promise<void> => {
    const now = cpuTimes();
    const total = now.total - before.total;
    const values: Record<string, number> = {
      "system/cpu_utilization_percentage": total === 0 ? 0 : 100 * (1 - (now.idle - before.idle) / total),
      "system/system_memory_usage_megabytes": (totalmem() - freemem()) / megabyte,
      "system/system_memory_usage_percentage": 100 * (1 - freemem() / totalmem()),
      "system/process_memory_usage_megabytes": process.memoryUsage.rss() / megabyte,
    };
    before = now;
    if (gpu !== "none") {
      const found = await gpuUse();
      gpu = Object.keys(found).length === 0 ? "none" : "there";
      Object.assign(values, found);
    }
    if (stopped) return;
    last = Math.max(last + 1, Math.round((Date.now() - since) / intervalMs));
    onSample(values, last);
  };
  const timer = setInterval(() => void take(), intervalMs);
  timer.unref();
  return {
    [Symbol.dispose]() {
      stopped = true;
      clearInterval(timer);
    },
  };
}

function cpuTimes(): { readonly idle: number; readonly total: number } {
  let idle = 0;
  let total = 0;
  for (const { times } of cpus()) {
    idle += times.idle;
    total += times.user + times.nice + times.sys + times.irq + times.idle;
  }
  return { idle, total };
}

/** Of NVIDIA's cards; nothing where there are none, or no driver that tells. */
async function gpuUse(): Promise<Record<string, number>> {
  const query = [
    "--query-gpu=index,utilization.gpu,memory.used,memory.total,power.draw",
    "--format=csv,noheader,nounits",
  ];
  try {
    const { stdout } = await promisify(execFile)("nvidia-smi", query, { timeout: 5000 });
    const values: Record<string, number> = {};
    for (const line of stdout.trim().split("\n")) {
      const [index, use, memory, whole, watts] = line.split(",").map(Number);
      if (index === undefined || use === undefined || memory === undefined || whole === undefined) continue;
      values[`system/gpu_${index}_utilization_percentage`] = use;
      values[`system/gpu_${index}_memory_usage_megabytes`] = memory;
      values[`system/gpu_${index}_memory_usage_percentage`] = (100 * memory) / whole;
      if (watts !== undefined && Number.isFinite(watts)) values[`system/gpu_${index}_power_usage_watts`] = watts;
    }
    return values;
  } catch {
    // No such program, or no card: there is nothing to tell about.
    return {};
  }
}
