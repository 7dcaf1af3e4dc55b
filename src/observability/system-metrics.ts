import type { MetricSource } from "./instruments.ts";
import { setCounter } from "./instruments.ts";
import type { SystemMonitor } from "./system.ts";

/** The machine's figures as metrics. */
export function systemMetrics(system: SystemMonitor): MetricSource {
  return async (instruments) => {
    const sample = await system.sample();
    instruments.system_cpu_usage_percent.set(sample.cpuPercent ?? Number.NaN);
    instruments.system_memory_usage_percent.set(sample.memoryPercent ?? Number.NaN);
    instruments.system_disk_usage_percent.set(sample.diskPercent ?? Number.NaN);
    const { network, disk } = sample.io ?? {};
    if (network !== undefined) {
      setCounter(instruments.system_network_receive_bytes_total, [[{}, network.received]]);
      setCounter(instruments.system_network_transmit_bytes_total, [[{}, network.sent]]);
    }
    if (disk !== undefined) {
      setCounter(instruments.system_disk_read_bytes_total, [[{}, disk.read]]);
      setCounter(instruments.system_disk_written_bytes_total, [[{}, disk.written]]);
    }
    // A GPU that can't be asked any more must not keep its last figure.
    instruments.system_gpu_usage_percent.reset();
    instruments.system_gpu_memory_usage_percent.reset();
    for (const { index, usagePercent, memoryPercent } of sample.gpus ?? []) {
      instruments.system_gpu_usage_percent.set({ gpu: String(index) }, usagePercent);
      instruments.system_gpu_memory_usage_percent.set({ gpu: String(index) }, memoryPercent);
    }
  };
}
