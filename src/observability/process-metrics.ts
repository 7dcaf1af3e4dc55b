import { readdir } from "node:fs/promises";
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { MetricSource } from "./instruments.ts";
import { setCounter } from "./instruments.ts";

export interface ProcessMetrics extends Disposable {
  readonly source: MetricSource;
}

/** Milliseconds between two looks at the event loop's delay. */
const resolutionMs = 10;

/** Figures of this process, without a process spawned. Disposing ends the measurement of the event loop. */
export function createProcessMetrics({ version }: { readonly version: string }): ProcessMetrics {
  const lag = monitorEventLoopDelay({ resolution: resolutionMs });
  lag.enable();
  const startedAt = Date.now() / 1000 - process.uptime();
  return {
    async source(instruments) {
      const { user, system } = process.cpuUsage();
      setCounter(instruments.process_cpu_seconds_total, [[{}, (user + system) / 1e6]]);
      const { rss, heapUsed } = process.memoryUsage();
      instruments.process_resident_memory_bytes.set(rss);
      instruments.nodejs_heap_used_bytes.set(heapUsed);
      instruments.nodejs_active_handles.set(process.getActiveResourcesInfo().length);
      instruments.process_open_fds.set(await openFiles());
      instruments.process_start_time_seconds.set(startedAt);
      instruments.build_info.set({ version, node: process.versions.node }, 1);
      for (const [statistic, nanoseconds] of [
        ["p50", lag.percentile(50)],
        ["p99", lag.percentile(99)],
        ["max", lag.max],
      ] as const) {
        // The timer's own period is no delay; without a reading since the last reset the histogram has no figure.
        const seconds = lag.count === 0 ? 0 : Math.max(0, nanoseconds / 1e9 - resolutionMs / 1000);
        instruments.nodejs_eventloop_lag_seconds.set({ statistic }, seconds);
      }
      lag.reset();
    },
    [Symbol.dispose]() {
      lag.disable();
    },
  };
}

async function openFiles(): Promise<number> {
  try {
    return (await readdir("/proc/self/fd")).length;
  } catch {
    // No /proc on this platform.
    return Number.NaN;
  }
}
