import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import {
  startTrackingServer,
  type TrackingServer,
  type TrackingServerOptions,
} from "../../src/tracking/server/server.ts";
import { openSqlStore } from "../../src/tracking/sql/store.ts";

const folder = mkdtempSync(join(tmpdir(), "cifar-tracking-server-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Of the codes whose class is not called as they are. */
const errorClasses: Readonly<Record<string, string>> = {
  ENDPOINT_NOT_FOUND: "RESOURCE_NOT_FOUND",
  RESOURCE_DOES_NOT_EXIST: "RESOURCE_NOT_FOUND",
};

let count = 0;
const servers: TrackingServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});
async function start(options: TrackingServerOptions = {}) {
  count += 1;
  const root = join(folder, `server-${count}`);
  const server = await startTrackingServer({ port: 0, store: join(root, "t.sqlite"), ...options });
  servers.push(server);
  const api = (path: string) => `${server.url}/api/2.0/${path}`;
  const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
    fetch(api(`mlflow/${path}`), {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
  return { ...server, root, api, post };
}

describe("the tracking server", () => {
  it("answers in MLflow's JSON: numbers, text for what JSON lacks, nothing for empty lists", async () => {
    const { post, api } = await start();
    const { run } = (await (await post("runs/create", { experiment_id: "0", start_time: "1700000000000" })).json()) as {
      run: { info: Record<string, unknown>; data: Record<string, unknown> };
    };
    expect(run.info).toMatchObject({ status: "RUNNING", start_time: 1700000000000, lifecycle_stage: "active" });
    expect(run.data).not.toHaveProperty("metrics");
    const id = String(run.info.run_id);
    await post("runs/log-metric", { run_id: id, key: "m", value: "NaN", timestamp: "5", step: "9" });
    const history = await fetch(api(`mlflow/metrics/get-history?run_id=${id}&metric_key=m`));
    expect(await history.json()).toEqual({ metrics: [{ key: "m", value: "NaN", timestamp: 5, step: 9 }] });
    expect(await (await post("runs/search", { experiment_ids: ["0"], filter: "params.x = '1'" })).json()).toEqual({});
    expect(await (await fetch(`${api("").replace("/api/2.0/", "")}/health`)).text()).toBe("OK");
  });

  it.each([
    ["runs/get-nothing", {}, 404, "ENDPOINT_NOT_FOUND", "Route not found"],
    ["runs/search", { max_results: "x" }, 400, "INVALID_PARAMETER_VALUE", "max_results"],
    ["runs/search", { experiment_ids: ["0"], max_results: 50_001 }, 400, "INVALID_PARAMETER_VALUE", "max_results"],
    ["runs/log-batch", {}, 400, "INVALID_PARAMETER_VALUE", "Missing value for required parameter 'run_id'"],
    [
      "runs/log-batch",
      { run_id: "x", metrics: [{ key: "a", timestamp: 1 }] },
      400,
      "INVALID_PARAMETER_VALUE",
      "metrics[0].value",
    ],
    ["runs/delete", { run_id: "f".repeat(32) }, 404, "RESOURCE_DOES_NOT_EXIST", "not found"],
    ["experiments/create", { name: "Default" }, 400, "RESOURCE_ALREADY_EXISTS", "already exists"],
    ["experiments/create", "{", 400, "INVALID_PARAMETER_VALUE", "not valid JSON"],
  ])("refuses %s %j with status %i and %s", async (path, body, status, error_code, part) => {
    const { post } = await start();
    const response = await post(path, body);
    expect(response.status).toBe(status);
    expect(await response.json()).toEqual({
      error_code,
      message: expect.stringContaining(part),
      sqlstate: "KAM00",
      error_class: errorClasses[error_code] ?? error_code,
    });
  });

  it("takes bodies that old clients send: a JSON string of JSON, camel case, null and nothing", async () => {
    const { post } = await start();
    const created = await post("experiments/create", JSON.stringify(JSON.stringify({ name: "double" })));
    expect(await created.json()).toEqual({ experiment_id: "1" });
    expect((await post("experiments/delete", { experimentId: "1", other: null })).status).toBe(200);
    expect((await post("experiments/search", "")).status).toBe(200);
  });

  it("lets in by token, and by name and password, and nobody else; health is open", async () => {
    const { url, post } = await start({ credentials: { token: "t0ken", user: { name: "ada", password: "pw:1" } } });
    const basic = (text: string) => ({ authorization: `Basic ${Buffer.from(text).toString("base64")}` });
    const status = async (headers: Record<string, string>) => (await post("experiments/search", {}, headers)).status;
    expect(await status({})).toBe(401);
    expect(await status({ authorization: "Bearer wrong" })).toBe(401);
    expect(await status(basic("ada:no"))).toBe(401);
    expect(await status({ authorization: "Bearer t0ken" })).toBe(200);
    expect(await status(basic("ada:pw:1"))).toBe(200);
    expect(await status(basic("anybody:t0ken"))).toBe(200);
    expect((await fetch(`${url}/health`)).status).toBe(200);
    const page = await fetch(url);
    expect(page.status).toBe(401);
    expect(page.headers.get("www-authenticate")).toContain("Basic");
    expect((await fetch(`${url}/api/2.0/mlflow-artifacts/artifacts`)).status).toBe(401);
  });

  it("refuses other host names on loopback, and writes from foreign pages", async () => {
    const { url, post } = await start();
    const withHost = (host: string) =>
      new Promise<number>((resolve, reject) => {
        const { port } = new URL(url);
        request({ host: "127.0.0.1", port, path: "/version", headers: { host } }, (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        })
          .on("error", reject)
          .end();
      });
    expect(await withHost("evil.example")).toBe(400);
    expect(await withHost("localhost:5000")).toBe(200);
    expect((await post("experiments/search", {}, { origin: "https://evil.example" })).status).toBe(400);
    expect((await post("experiments/search", {}, { origin: url })).status).toBe(200);
  });

  it("answers what never became a request in MLflow's words, and echoes request ids", async () => {
    const { url } = await start();
    const send = (text: string) =>
      new Promise<string>((resolve, reject) => {
        const socket = connect(Number(new URL(url).port), "127.0.0.1", () => socket.write(text));
        let answer = "";
        socket.on("data", (chunk) => {
          answer += chunk.toString();
        });
        socket.on("close", () => resolve(answer)).on("error", reject);
      });
    const malformed = await send("GET\r\n\r\n");
    expect(malformed).toMatch(/^HTTP\/1\.1 400 .*"error_code":"BAD_REQUEST","message":"the HTTP request is malformed/s);
    const large = await send(`GET /health HTTP/1.1\r\nHost: localhost\r\nX-Large: ${"a".repeat(20_000)}\r\n\r\n`);
    expect(large).toMatch(/^HTTP\/1\.1 431 .*"error_code":"BAD_REQUEST","message":"the headers of the request have/s);
    const { headers } = await fetch(`${url}/version`, { headers: { "x-request-id": "mine-1" } });
    expect(headers.get("x-request-id")).toBe("mine-1");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
  });

  it("keeps artifacts inside and bounded, and sends them as attachments", async () => {
    const { api, root } = await start({ maxArtifactBytes: 1000 });
    const put = (path: string, body: string) =>
      fetch(api(`mlflow-artifacts/artifacts/${path}`), { method: "PUT", body });
    for (const path of [
      "..%2f..%2fx",
      "a/..%2f..%2f..%2fx",
      "%2e%2e/%2e%2e/x",
      "%2Fetc%2Fx",
      "a%5Cx",
      "a%00b",
      ".incoming/x",
    ])
      expect((await put(path, "x")).status, path).toBeGreaterThanOrEqual(400);
    expect(existsSync(join(root, "x"))).toBe(false);
    expect((await put("a/page.html", "<script>alert(1)</script>")).status).toBe(200);
    const got = await fetch(api("mlflow-artifacts/artifacts/a/page.html"));
    expect(got.headers.get("content-type")).toContain("text/plain");
    expect(got.headers.get("content-disposition")).toContain("attachment");
    expect((await put("a/large", "x".repeat(1001))).status).toBe(400);
    expect((await fetch(api("mlflow-artifacts/artifacts/a/large"))).status).toBe(404);
    const listed = await (await fetch(api("mlflow-artifacts/artifacts?path=a"))).json();
    expect(listed).toEqual({ files: [{ path: "page.html", is_dir: false, file_size: 25 }] });
    expect(readdirSync(join(root, "artifacts", ".incoming"))).toEqual([]);
  });

  it("puts uploads in parts together, in their order, and forgets aborted ones", async () => {
    const { api } = await start();
    const send = async (path: string, body: object) =>
      (await fetch(api(`mlflow-artifacts/mpu/${path}`), {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      })) as Response;
    const create = async () =>
      (await (await send("create/0/run/artifacts/deep", { path: "/home/ada/big.bin", num_parts: 3 })).json()) as {
        upload_id: string;
        credentials: readonly { url: string; part_number: number }[];
      };
    const upload = await create();
    const parts = [];
    for (const { url, part_number } of [...upload.credentials].reverse()) {
      const response = await fetch(url, { method: "PUT", body: `part ${part_number};` });
      parts.push({ part_number, etag: response.headers.get("etag") ?? "" });
    }
    const target = "complete/0/run/artifacts/deep";
    const broken = parts.map((part) => ({ ...part, etag: '"0"' }));
    expect((await send(target, { upload_id: upload.upload_id, path: "big.bin", parts: broken })).status).toBe(400);
    expect((await send(target, { upload_id: upload.upload_id, path: "big.bin", parts })).status).toBe(200);
    const whole = await fetch(api("mlflow-artifacts/artifacts/0/run/artifacts/deep/big.bin"));
    expect(await whole.text()).toBe("part 1;part 2;part 3;");
    const second = await create();
    expect((await send("abort/0/run/artifacts/deep", { upload_id: second.upload_id, path: "x" })).status).toBe(200);
    expect((await fetch(second.credentials[0]!.url, { method: "PUT", body: "late" })).status).toBe(404);
    expect((await send("create/..%2f..%2fetc", { path: "x", num_parts: 1 })).status).toBe(400);
  });

  it("has every acknowledged batch after kill -9 under load", async () => {
    const built = new URL("../../dist/tracking/server/server.js", import.meta.url);
    expect(existsSync(fileURLToPath(built)), "build first: node scripts/build.mjs").toBe(true);
    const store = join(folder, "killed", "t.sqlite");
    const program = `
      import { startTrackingServer } from ${JSON.stringify(built.href)};
      const server = await startTrackingServer({ port: 0, store: ${JSON.stringify(store)} });
      console.log(server.url);`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
    let url = "";
    for await (const line of createInterface({ input: child.stdout })) {
      url = line;
      break;
    }
    const post = async (path: string, body: object): Promise<unknown> => {
      const response = await fetch(`${url}/api/2.0/mlflow/${path}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      });
      if (!response.ok) throw new Error(await response.text());
      return response.json();
    };
    const acknowledged = new Map<string, number>();
    let total = 0;
    const write = async (): Promise<void> => {
      const { run } = (await post("runs/create", { experiment_id: "0" })) as { run: { info: { run_id: string } } };
      const runId = run.info.run_id;
      acknowledged.set(runId, 0);
      for (let step = 0; ; step++) {
        const metrics = Array.from({ length: 20 }, (_, i) => ({ key: `m${i}`, value: step, step, timestamp: step }));
        try {
          await post("runs/log-batch", { run_id: runId, metrics });
        } catch {
          // The server is gone: what was not acknowledged is not counted.
          return;
        }
        acknowledged.set(runId, step + 1);
        total += 1;
        if (total === 200) child.kill("SIGKILL");
      }
    };
    await Promise.all(Array.from({ length: 6 }, write));
    await closed;
    expect(child.signalCode).toBe("SIGKILL");
    await using reopened = await openSqlStore({ path: store });
    for (const [runId, steps] of acknowledged) {
      for (const key of ["m0", "m19"]) {
        const { items } = await reopened.getMetricHistory(runId, key);
        expect(items.map(({ step }) => step)).toEqual(items.map((_, index) => index));
        // One batch may have been written whose answer never arrived.
        expect([steps, steps + 1]).toContain(items.length);
      }
    }
    expect(total).toBeGreaterThanOrEqual(200);
  });
});
