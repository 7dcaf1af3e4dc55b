import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { availableCores, availableMemory } from "./machine-limits.ts";

async function machine(files: Readonly<Record<string, string>>) {
  const root = await mkdtemp(join(tmpdir(), "cgroup-"));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), `${text}\n`);
  }
  return { proc: join(root, "proc"), sys: join(root, "sys") };
}

const cores = availableParallelism();
const megabyte = 2 ** 20;

describe("the limits of a control group", () => {
  it.each([
    ["version 2 in a container", { "proc/self/cgroup": "0::/", "sys/cpu.max": "50000 100000" }, 1],
    ["version 2, a group around it", { "proc/self/cgroup": "0::/a/b", "sys/a/cpu.max": "100000 100000" }, 1],
    ["version 2 without a limit", { "proc/self/cgroup": "0::/", "sys/cpu.max": "max 100000" }, cores],
    [
      "version 1",
      {
        "proc/self/cgroup": "5:memory:/x\n4:cpu,cpuacct:/docker/1234",
        "sys/cpu,cpuacct/cpu.cfs_quota_us": "100000",
        "sys/cpu,cpuacct/cpu.cfs_period_us": "100000",
      },
      1,
    ],
    [
      "version 1 without a limit",
      {
        "proc/self/cgroup": "4:cpu,cpuacct:/",
        "sys/cpu,cpuacct/cpu.cfs_quota_us": "-1",
        "sys/cpu,cpuacct/cpu.cfs_period_us": "100000",
      },
      cores,
    ],
    ["no control groups", {}, cores],
  ])("%s: cores", async (_, files, expected) => {
    expect(availableCores(await machine(files as Record<string, string>))).toBe(expected);
  });

  it("a part of a core counts as a whole one", async () => {
    const files = { "proc/self/cgroup": "0::/", "sys/cpu.max": "150000 100000" };
    expect(availableCores(await machine(files))).toBe(Math.min(2, cores));
  });

  it.each([
    ["version 2", { "proc/self/cgroup": "0::/", "sys/memory.max": `${64 * megabyte}` }, 64 * megabyte],
    ["version 2 without", { "proc/self/cgroup": "0::/", "sys/memory.max": "max" }, totalmem()],
    [
      "version 1",
      { "proc/self/cgroup": "9:memory:/y", "sys/memory/y/memory.limit_in_bytes": `${32 * megabyte}` },
      32 * megabyte,
    ],
  ])("%s: memory", async (_, files, expected) => {
    expect(availableMemory(await machine(files as Record<string, string>))).toBe(expected);
  });
});
