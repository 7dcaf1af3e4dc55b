import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { logFileNames } from "../../src/observability/logs/service-log.ts";

// Through the build: a process of its own that ends without any chance to tidy up.
const built = new URL("../../dist/observability/logs/service-log.js", import.meta.url).href;

describe("the service log", () => {
  it.each([
    ["exit", "process.exit(0)", 0],
    ["an error that nobody catches", "throw new Error('unexpected')", 1],
    ["SIGKILL", "process.kill(process.pid, 'SIGKILL'); await new Promise(() => {})", null],
  ])("loses nothing at %s", async (_, end, code) => {
    const directory = await mkdtemp(join(tmpdir(), "logs-"));
    onTestFinished(() => rm(directory, { recursive: true, force: true }));
    const script = `
      import { openServiceLog } from ${JSON.stringify(built)};
      const sink = { write() {} };
      const { logger } = openServiceLog({ directory: ${JSON.stringify(directory)}, stdout: sink, stderr: sink });
      for (let i = 0; i < 5000; i++) logger.info({ i }, "line");
      ${end};`;
    const child = spawnSync(process.execPath, ["--input-type=module", "-e", script]);
    expect(child.status, child.stderr.toString()).toBe(code);
    const lines = readFileSync(join(directory, logFileNames.app), "utf8").trim().split("\n");
    expect(lines).toHaveLength(5000);
    expect(JSON.parse(lines.at(-1)!)).toMatchObject({ i: 4999 });
  });
});
