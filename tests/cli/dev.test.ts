import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect, it, onTestFinished, vi } from "vitest";
import { writeTinyBundle } from "../api/tiny-bundle.ts";
import { freePort, waitFor } from "../stack/programs.ts";

vi.setConfig({ testTimeout: 120_000 });

const script = fileURLToPath(new URL("../../scripts/dev.mjs", import.meta.url));

it("starts the server again at a change, never refuses a connection, and keeps the old one when the new one fails", async () => {
  const root = await mkdtemp(join(tmpdir(), "dev-"));
  const { directory } = await writeTinyBundle(root);
  await mkdir(join(root, "config"));
  const config = join(root, "config", "config.yaml");
  await writeFile(config, "serving:\n  max_batch_size: 2\n");
  const port = await freePort();
  const args = [
    script,
    "--no-compile",
    "--model",
    directory,
    "--port",
    String(port),
    "--set",
    "monitoring.log_dir=null",
  ];
  const child = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await ended;
    await rm(root, { recursive: true, force: true });
  });
  let output = "";
  child.stderr.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  const starts = (): number => output.split("the new server answers").length - 1;
  await waitFor("the server", () => starts() === 1);
  let asks = true;
  let answers = 0;
  const failures: unknown[] = [];
  const client = (async () => {
    // A connection each: one that is kept may be closed by the old server as it is used again.
    const headers = { connection: "close" };
    for (; asks; answers++) {
      const ask = fetch(`http://127.0.0.1:${port}/health/live`, { headers });
      await sleep(20);
      await ask.then(
        ({ status }) => status === 200 || failures.push(status),
        (error) => failures.push(error),
      );
    }
  })();
  await writeFile(config, "serving:\n  max_batch_size: 3\n");
  await waitFor("the next server", () => starts() === 2);
  await writeFile(config, "serving:\n  max_batch_size: no\n");
  await waitFor("its end", () => output.includes("the old one goes on"));
  await writeFile(config, "serving:\n  max_batch_size: 4\n");
  await waitFor("the third server", () => starts() === 3);
  asks = false;
  await client;
  expect(failures).toEqual([]);
  expect(answers).toBeGreaterThan(10);
  child.kill("SIGINT");
  expect(await ended).toBe(130);
  await expect(fetch(`http://127.0.0.1:${port}/health/live`)).rejects.toThrow("fetch failed");
});
