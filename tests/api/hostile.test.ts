import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { createRng } from "../../src/base/rng.ts";
import { apiErrorSchema } from "../../src/http/errors/api-error-schema.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { predictionSchema } from "../../src/serving/schemas.ts";
import { type RunningServer, startServer } from "../../src/serving/server.ts";
import { fuzzSeeds, hostileFiles } from "./hostile-files.ts";
import { largestLag, serveBundle } from "./served.ts";
import { writeTinyBundle } from "./tiny-bundle.ts";

let root: string;
let bundle: string;
let server: RunningServer;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "hostile-"));
  ({ directory: bundle } = await writeTinyBundle(root));
  server = await startServer({ bundle, port: 0, logger: createLogger({ level: "silent" }) });
});
afterAll(async () => {
  await server?.close();
  await rm(root, { recursive: true, force: true });
});

async function send(file: Uint8Array, url = server.url): Promise<"ok" | "refused"> {
  const form = new FormData();
  form.append("file", new Blob([new Uint8Array(file)]), "x");
  const response = await fetch(`${url}/predict`, { method: "POST", body: form });
  const body = await response.json();
  if (response.status === 200) {
    predictionSchema.strict().parse(body);
    return "ok";
  }
  expect(response.status, JSON.stringify(body)).toBeGreaterThanOrEqual(400);
  expect(response.status, JSON.stringify(body)).toBeLessThan(500);
  const { detail, message } = apiErrorSchema.strict().parse(body);
  expect(detail).toBe(message);
  expect(message).not.toContain("/home");
  return "refused";
}

describe("a stranger's files", () => {
  const entries = Object.entries(hostileFiles);

  it("are a corpus of at least 60", () => {
    expect(entries.length).toBeGreaterThanOrEqual(60);
  });

  it.each(entries)("%s: an answer or a well-formed 4xx", async (_name, { expect: expected, make }) => {
    const outcome = await send(await make());
    if (expected !== "either") expect(outcome).toBe(expected);
  });

  it("one after the other and eight at a time leave the event loop free: the largest lags are reported", async () => {
    const served = await serveBundle(bundle, { cwd: root, settings: ["monitoring.log_dir=logs"] });
    onTestFinished(() => served.kill());
    const files = await Promise.all(entries.map(async ([name, { make }]) => ({ name, file: await make() })));
    // The first round compiles code and fills caches.
    for (const { file } of files) await send(file, served.url);
    await largestLag(served.url);
    const lags: { readonly name: string; readonly ms: number }[] = [];
    for (const { name, file } of files) {
      await send(file, served.url);
      lags.push({ name, ms: await largestLag(served.url) });
    }
    const queue = [...files];
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        for (let next = queue.shift(); next !== undefined; next = queue.shift()) await send(next.file, served.url);
      }),
    );
    const together = await largestLag(served.url);
    const worst = lags.toSorted((a, b) => b.ms - a.ms).slice(0, 3);
    process.stdout.write(
      `largest lags of the event loop: ${worst.map(({ name, ms }) => `${ms.toFixed(1)} ms (${name})`).join(", ")}; ` +
        `eight at a time ${together.toFixed(1)} ms\n`,
    );
  });

  it("mutated at random never break the server", async () => {
    const rng = createRng(20260401);
    const seeds = await Promise.all(fuzzSeeds.map((make) => make()));
    const counts = { ok: 0, refused: 0 };
    for (let round = 0; round < 400; round++) {
      const bytes = Buffer.from(seeds[round % seeds.length]!);
      const header = round % 2 === 0;
      const changes = 1 + rng.int(6);
      for (let i = 0; i < changes; i++) {
        const at = rng.int(Math.min(bytes.length, header ? 80 : bytes.length));
        bytes[at] = rng.int(256);
      }
      const end = rng.uniform() < 0.2 ? rng.int(bytes.length) : bytes.length;
      counts[await send(bytes.subarray(0, end))]++;
    }
    expect(counts.ok).toBeGreaterThan(0);
    expect(counts.refused).toBeGreaterThan(0);
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
  });
});
