import { spawn, spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished, vi } from "vitest";
import { waitFor } from "../stack/programs.ts";

vi.setConfig({ testTimeout: 60_000 });

const built = new URL("../../dist/observability/logs/service-log.js", import.meta.url).href;
const hasScript = spawnSync("script", ["--version"]).status === 0;

/** Logs 6 MB to its console, then writes how many lines it gave up, and ends. */
const program = (report: string) => `
  import { writeFileSync } from "node:fs";
  import { openServiceLog } from ${JSON.stringify(built)};
  const log = openServiceLog({ directory: null });
  for (let i = 0; i < 60; i++) {
    for (let j = 0; j < 100; j++) log.logger.info({ i, text: "x".repeat(1000) }, "line");
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const { failures_by_destination, lines_by_level } = await log.stats();
  await log[Symbol.asyncDispose]();
  writeFileSync(${JSON.stringify(report)}, JSON.stringify({ failures_by_destination, lines_by_level }));
  process.exit(0);`;

const kinds = [
  ["a pipe that nobody reads", process.execPath, (code: string) => ["--input-type=module", "-e", code], true],
  [
    `a terminal that was halted${hasScript ? "" : " (not run: apt-get install bsdutils)"}`,
    "script",
    () => ["-qec", `${process.execPath} --input-type=module -e "$PROGRAM"`, "/dev/null"],
    hasScript,
  ],
] as const;

for (const [name, command, args, here] of kinds) {
  it.skipIf(!here)(`the service log does not wait for ${name}: it counts what it gives up`, async () => {
    const root = await mkdtemp(join(tmpdir(), "slow-"));
    const report = join(root, "report.json");
    const code = program(report);
    const child = spawn(command, args(code), {
      env: { ...process.env, PROGRAM: code, SHELL: "/bin/sh" },
      stdio: ["ignore", "pipe", "ignore"],
      detached: true,
    });
    onTestFinished(async () => {
      try {
        process.kill(-child.pid!, "SIGKILL");
      } catch {
        // It has ended by itself.
      }
      await rm(root, { recursive: true, force: true });
    });
    // Its output is never read.
    const text = await waitFor("the report", () => readFile(report, "utf8").catch(() => undefined), 40);
    const { failures_by_destination, lines_by_level } = JSON.parse(text);
    expect(lines_by_level.info).toBe(6000);
    expect(failures_by_destination.stdout).toBeGreaterThan(1000);
    expect(failures_by_destination.stdout).toBeLessThan(6000);
  });
}
