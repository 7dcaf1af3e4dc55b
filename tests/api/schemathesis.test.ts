import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { createApiKey, readApiKeys } from "../../src/http/access/api-keys.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { type RunningServer, startServer } from "../../src/serving/server.ts";
import { writeTinyBundle } from "./tiny-bundle.ts";

// Set SCHEMATHESIS, or install it where continuous integration does, to run these tests.
const program =
  process.env.SCHEMATHESIS ??
  join(homedir(), ".cache", "cifar-pipeline", "environments", "schemathesis", "bin", "schemathesis");

vi.setConfig({ testTimeout: 600_000, hookTimeout: 120_000 });

const name = "schemathesis on the OpenAPI document (needs `pip install schemathesis`, or its path in SCHEMATHESIS)";
describe.skipIf(!existsSync(program))(name, () => {
  const key = createApiKey("all", ["predict", "admin"]);
  let root: string;
  let server: RunningServer;
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "schemathesis-"));
    const models = join(root, "models");
    await writeTinyBundle(models);
    const { directory } = await writeTinyBundle(models, { name: "tiny_trainer_20260201-000000" });
    const keysFile = join(root, "keys.txt");
    await writeFile(keysFile, `${key.line}\n`);
    server = await startServer({
      bundle: directory,
      port: 0,
      logger: createLogger({ level: "silent" }),
      access: { keys: await readApiKeys(keysFile), predictionsNeedKey: true },
    });
    // What it expects of an API beyond its document: parts that are not there, overload and shutdown are no faults.
    await writeFile(
      join(root, "schemathesis.toml"),
      '[checks.not_a_server_error]\nexpected-statuses = ["2xx", "3xx", "4xx", 501, 503]\n',
    );
  });
  afterAll(async () => {
    await server?.close();
    await rm(root, { recursive: true, force: true });
  });

  it.each([
    ["without a key", []],
    ["with a key", ["--header", `x-api-key: ${key.key}`]],
  ])("%s finds no server error, no undocumented status and no answer of another shape", async (_name, headers) => {
    const args = [
      ...["run", `${server.url}/docs/json`, ...headers],
      // A stream that ends when the client goes; that a file is an image no schema can say.
      ...["--exclude-path", "/dashboard/events", "--exclude-checks", "positive_data_acceptance"],
      ...["--max-examples", "5", "--seed", "20260401", "--generation-deterministic", "--no-shrink", "--no-color"],
      ...["--request-timeout", "30"],
    ];
    const { code, output } = await new Promise<{ readonly code: number; readonly output: string }>((resolve) => {
      const env = { ...process.env, NO_PROXY: "*", no_proxy: "*", PYTHONUTF8: "1" };
      execFile(program, args, { cwd: root, env, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
        resolve({
          code: typeof error?.code === "number" ? error.code : error === null ? 0 : -1,
          output: stdout + stderr,
        });
      });
    });
    expect(code, output).toBe(0);
    expect(Number(/Tested: (\d+)/.exec(output)?.[1]), output).toBeGreaterThanOrEqual(31);
    expect(Number(/(\d+) generated/.exec(output)?.[1]), output).toBeGreaterThan(300);
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
  });
});
