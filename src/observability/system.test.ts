import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
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
    const monitor = createSystemMonitor({ procPath, cgroupPath: "/nonexistent", minIntervalMs: 0 });
    expect(await monitor.sample()).toMatchObject({ cpuPercent: 10, memoryPercent: 75, source: "proc" });
    await cpu(130, 910);
    expect(await monitor.sample()).toMatchObject({ cpuPercent: 75 });
    // No jiffy passed: the last figure stands.
    expect(await monitor.sample()).toMatchObject({ cpuPercent: 75 });
  });

  it("in a container with limits gives the share of what it may use", async () => {
    const { procPath } = await fakeProc();
    const cgroupPath = join(procPath, "cgroup");
    await mkdir(join(procPath, "self"));
    await writeFile(join(procPath, "self", "cgroup"), "0::/docker/abc\n");
    await mkdir(join(cgroupPath, "docker", "abc"), { recursive: true });
    const own = (name: string, text: string) => writeFile(join(cgroupPath, "docker", "abc", name), text);
    // The limit on the CPU is the group's own, the one on the memory that of the group around it.
    await own("cpu.max", "150000 100000\n");
    await own("memory.max", "max\n");
    await own("memory.current", "1\n");
    for (const [name, text] of [
      ["memory.max", "1000000\n"],
      ["memory.current", "700000\n"],
      ["memory.stat", "anon 1\ninactive_file 100000\n"],
    ] as const)
      await writeFile(join(cgroupPath, "docker", name), text);
    let now = 0;
    const monitor = createSystemMonitor({ procPath, cgroupPath, minIntervalMs: 0, now: () => now });
    await own("cpu.stat", "usage_usec 5000000\nuser_usec 1\n");
    expect(await monitor.sample()).toMatchObject({
      cpuPercent: null,
      memoryPercent: 60,
      memoryTotalBytes: 1_000_000,
      memoryAvailableBytes: 400_000,
      source: "cgroup",
    });
    now = 2000;
    await own("cpu.stat", "usage_usec 7400000\nuser_usec 1\n");
    expect((await monitor.sample()).cpuPercent).toBeCloseTo(80, 9);
  });

  it("reads at most once per interval", async () => {
    const { procPath, cpu } = await fakeProc();
    let now = 0;
    const monitor = createSystemMonitor({ procPath, cgroupPath: "/nonexistent", minIntervalMs: 500, now: () => now });
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
    // In a container with a quota the first reading has no percentage of the CPU.
    for (const percent of [sample.cpuPercent ?? 0, sample.memoryPercent, sample.diskPercent]) {
      expect(percent).toBeGreaterThanOrEqual(0);
      expect(percent).toBeLessThanOrEqual(100);
    }
    expect(sample.processMemoryBytes).toBeGreaterThan(1e7);
  });
});
