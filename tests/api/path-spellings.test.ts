import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createApiKey, readApiKeys } from "../../src/http/access/api-keys.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { type RunningServer, startServer } from "../../src/serving/server.ts";
import { writeTinyBundle } from "./tiny-bundle.ts";

const key = createApiKey("all", ["predict", "admin"]);
let root: string;
let server: RunningServer;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "spellings-"));
  const { directory } = await writeTinyBundle(join(root, "models"));
  const keysFile = join(root, "keys.txt");
  await writeFile(keysFile, `${key.line}\n`);
  server = await startServer({
    bundle: directory,
    port: 0,
    logger: createLogger({ level: "silent" }),
    access: { keys: await readApiKeys(keysFile), predictionsNeedKey: true },
  });
});
afterAll(async () => {
  await server?.close();
  await rm(root, { recursive: true, force: true });
});

/** The path goes out as it is written: fetch would tidy it up. */
function ask(method: string, path: string, headers: Record<string, string> = {}): Promise<number> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(server.url);
    const call = request({ hostname, port, method, path, headers: { "content-type": "application/json", ...headers } });
    call.on("response", (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode!));
    });
    call.on("error", reject);
    call.end(method === "POST" ? "{}" : undefined);
  });
}

const model = "/v2/models/tiny_trainer";
const version = `${model}/versions/20260101-000000`;
const repository = "/v2/repository/models/tiny_trainer";

describe("without a key", () => {
  it.each([
    `${model}/infer`,
    `${version}/infer`,
    `${model}/%69nfer`,
    `${version}/%69%6e%66%65%72`,
    `${model}/infer/`,
    `${model}/infer?x=/health`,
    `${model}/infer#/health`,
    "/v2/models/tiny%5ftrainer/infer",
    "/v2/models/health/infer",
    "/predict",
    "/predict/",
    "/%70redict",
    "/predict?model=tiny_trainer",
    "/predict/batch",
    "/feedback",
    `${repository}/load`,
    `${repository}/unload`,
    `${repository}/%6coad`,
    `${repository}/unload/`,
    "/alerts/recipients",
    "/alerts/thresholds",
    "/alerts/test",
  ])("POST %s: 401", async (path) => {
    expect(await ask("POST", path)).toBe(401);
    for (const method of ["HEAD", "GET", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
      // A read of the same path is another route, and none of these computes anything.
      if (method !== "POST" && path.startsWith("/alerts/test")) continue;
      expect([404, 405], `${method} ${path}`).toContain(await ask(method, path));
    }
  });

  it.each([
    `/${model}/infer`,
    `/v2//models/tiny_trainer/infer`,
    `${model}//infer`,
    `${model}/INFER`,
    `${model}/infer;x`,
    `${model}/infer%00`,
    `${model}/infer%2f`,
    `${model}%2finfer`,
    `${model}/%2569nfer`,
    `/health/../v2/models/tiny_trainer/infer`,
    `/health/%2e%2e/v2/models/tiny_trainer/infer`,
    `/./predict`,
    `\\predict`,
  ])("POST %s is no way around: it is no route, with a key neither", async (path) => {
    const without = await ask("POST", path);
    expect([400, 401, 404, 405]).toContain(without);
    expect([400, 404, 405]).toContain(await ask("POST", path, { "x-api-key": key.key }));
  });

  it.each(["x-http-method-override", "x-original-url", "x-rewrite-url", "x-forwarded-path"])(
    "the header %s changes nothing",
    async (header) => {
      const value = header.includes("method") ? "POST" : "/health";
      expect(await ask("POST", "/predict", { [header]: value })).toBe(401);
      expect(await ask("GET", "/predict", { [header]: value })).toBe(405);
    },
  );

  it("health, metadata and figures are answered, as documented", async () => {
    for (const path of [
      ...["/health", "/health/live", "/health/ready", "/v2", "/v2/health/live", "/v2/health/ready"],
      ...[model, version, `${model}/ready`, `${version}/ready`, "/classes", "/models", "/metrics"],
    ]) {
      expect(await ask("GET", path), path).toBe(200);
      expect(await ask("HEAD", path), path).toBe(200);
    }
  });

  it("with the key the same routes are let in", async () => {
    const headers = { "x-api-key": key.key };
    expect(await ask("POST", `${model}/infer`, headers)).toBe(400);
    expect(await ask("POST", `${model}/%69nfer`, headers)).toBe(400);
    expect(await ask("POST", `${repository}/unload`, headers)).toBe(409);
  });
});
