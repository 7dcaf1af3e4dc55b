import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { createSystemMonitor } from "./system.ts";

async function fakeProc() {
  const procPath = await mkdtemp(join(tmpdir(), "proc-"));
  onTestFinished(() => rm(procPath, { recursive: true, force: true }));
  const cpu = (user: number, idle: number) =>
    writeFile(join(procPath, "stat"), `cpu  ${user} 0 0 ${idle} 0 0 0 0 0 0\ncpu0 1 1\n`);
  await writeFile(join(procPath, "meminfo"), "MemTotal:       1000 kB\nMemFree:  1 kB\nMemAvailable:    250 kB\n");
  await cpu(100, 900);
  return { procPath, cpu };
}

describe("createSystemMonitor", () => {
  it("gives CPU use between two samples and memory that is not available", async () => {
    const { procPath, cpu } = await fakeProc();
    const monitor = createSystemMonitor({ procPath, minIntervalMs: 0 });
    expect(await monitor.sample()).toMatchObject({ cpuPercent: 10, memoryPercent: 75, source: "proc" });
    await cpu(130, 910);
    expect(await monitor.sample()).toMatchObject({ cpuPercent: 75 });
    // No jiffy passed: the last figure stands.
    expect(await monitor.sample()).toMatchObject({ cpuPercent: 75 });
  });

  it("reads at most once per interval", async () => {
    const { procPath, cpu } = await fakeProc();
    let now = 0;
    const monitor = createSystemMonitor({ procPath, minIntervalMs: 500, now: () => now });
    const first = await monitor.sample();
    await cpu(900, 901);
    now = 499;
    expect(await monitor.sample()).toBe(first);
    now = 500;
    expect((await monitor.sample()).cpuPercent).toBeGreaterThan(99);
  });

  it("falls back to the os module without /proc and to null without a disk", async () => {
    const monitor = createSystemMonitor({ procPath: "/nonexistent", diskPath: "/nonexistent/path" });
    const sample = await monitor.sample();
    expect(sample).toMatchObject({ source: "os", diskPercent: null, diskTotalBytes: null });
    expect(sample.memoryPercent).toBeGreaterThan(0);
    expect(sample.cpuPercent).toBeGreaterThanOrEqual(0);
  });

  it("gives plausible figures of this machine", async () => {
    const sample = await createSystemMonitor().sample();
    for (const percent of [sample.cpuPercent, sample.memoryPercent, sample.diskPercent]) {
      expect(percent).toBeGreaterThanOrEqual(0);
      expect(percent).toBeLessThanOrEqual(100);
    }
    expect(sample.processMemoryBytes).toBeGreaterThan(1e7);
  });
});
