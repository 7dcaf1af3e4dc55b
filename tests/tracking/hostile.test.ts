import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { experimentRoutes } from "../../src/tracking/server/routes/experiments.ts";
import { loggedModelRoutes } from "../../src/tracking/server/routes/logged-models.ts";
import { pageDataRoutes } from "../../src/tracking/server/routes/page-data.ts";
import { registryRoutes } from "../../src/tracking/server/routes/registry.ts";
import { runRoutes } from "../../src/tracking/server/routes/runs.ts";
import { startTrackingServer, type TrackingServer } from "../../src/tracking/server/server.ts";
import {
  escapes,
  heavyFilters,
  type Known,
  replaceAt,
  type Valid,
  validRequests,
  waysInto,
  wrongValues,
} from "./hostile-requests.ts";

/** FUZZ_SEED=NUMBER tries other requests. */
const seed = Number(process.env.FUZZ_SEED ?? 1);
const secret = "what lies outside";
const outside = mkdtempSync(join(tmpdir(), "cifar-hostile-"));
const root = join(outside, "root");
const artifacts = join(root, "artifacts");

let server: TrackingServer;
let known: Known;

interface Answered {
  readonly status: number;
  readonly text: string;
}

/** The path as it is: fetch would resolve its dots before it is sent. */
function send(method: string, path: string, body?: string, type = "application/json"): Promise<Answered> {
  const { port } = new URL(server.url);
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { "content-type": type, "content-length": Buffer.byteLength(body) };
    const sent = request({ host: "127.0.0.1", port, method, path, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

const textOf = (value: unknown): string => (typeof value === "object" ? JSON.stringify(value) : String(value));

function call({ line, body }: { readonly line: string; readonly body: unknown }): Promise<Answered> {
  const [method = "", path = ""] = line.split(" ");
  const url = `/api/2.0/mlflow/${path}`;
  if (method !== "GET") return send(method, url, JSON.stringify(body));
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(body ?? {}))
    for (const item of Array.isArray(value) ? value : [value]) query.append(key, textOf(item).slice(0, 2500));
  return send("GET", `${url}?${query}`);
}

/** Fails with the request that made it so. What is in the wrong state is answered with 500, as MLflow does. */
function expectRefusedOrDone({ status, text }: Answered, sent: unknown): void {
  const state = text.includes('"INVALID_STATE"');
  if (status >= 500 && !state)
    throw new Error(`status ${status}: ${text.slice(0, 300)} for ${JSON.stringify(sent).slice(0, 500)}`);
  expect(text).not.toContain(secret);
  expect(text).not.toMatch(/\bat .*\.(ts|js):\d+/);
}

beforeAll(async () => {
  mkdirSync(join(artifacts, "inner"), { recursive: true });
  writeFileSync(join(outside, "secret"), secret);
  writeFileSync(join(root, "secret"), secret);
  symlinkSync(outside, join(artifacts, "link"));
  symlinkSync(outside, join(artifacts, "inner", "link"));
  symlinkSync(join(outside, "secret"), join(artifacts, "file-link"));
  server = await startTrackingServer({ port: 0, store: join(root, "t.sqlite"), artifacts });
  const made = async <T>(line: string, body: object): Promise<T> => JSON.parse((await call({ line, body })).text) as T;
  const { run } = await made<{ run: { info: { run_id: string } } }>("POST runs/create", { experiment_id: "0" });
  const { model } = await made<{ model: { info: { model_id: string } } }>("POST logged-models", { experiment_id: "0" });
  await made("POST registered-models/create", { name: "net" });
  await made("POST model-versions/create", { name: "net", source: "s3://bucket/x" });
  known = { run: run.info.run_id, model: model.info.model_id };
});
afterAll(async () => {
  await server.close();
  rmSync(outside, { recursive: true, force: true });
});

afterEach(async () => {
  // Alive, and nothing lies or changed outside the root.
  expect((await send("GET", "/health")).text).toBe("OK");
  const { status } = await call({ line: "POST runs/create", body: { experiment_id: "0" } });
  expect(status).toBe(200);
  expect(readdirSync(outside).sort()).toEqual(["root", "secret"]);
  expect(
    readdirSync(root)
      .filter((name) => !name.startsWith("t.sqlite"))
      .sort(),
  ).toEqual(["artifacts", "secret"]);
  for (const folder of [outside, root]) expect(readFileSync(join(folder, "secret"), "utf8")).toBe(secret);
});

describe("hostile requests to the tracking server", () => {
  it("begin with good ones: every route is among them, and each is taken", async () => {
    const routes = [...experimentRoutes, ...runRoutes, ...loggedModelRoutes, ...registryRoutes, ...pageDataRoutes];
    const named = validRequests({ run: "", model: ":model_id" }).map(({ line }) =>
      line.replace("m-0", ":model_id").replace("/tags/k", "/tags/:tag_key"),
    );
    expect(named.sort()).toEqual(routes.map(({ method, path }) => `${method} ${path}`).sort());
    const refused: string[] = [];
    for (const valid of validRequests(known)) {
      const { status, text } = await call(valid);
      if (status >= 400 && !/RESOURCE_DOES_NOT_EXIST|not found/.test(text)) refused.push(`${valid.line}: ${text}`);
    }
    expect(refused).toEqual([]);
  });

  it("with a wrong value in each field of each route are refused, or taken", async () => {
    for (const valid of validRequests(known))
      for (const way of waysInto(valid.body))
        for (const value of wrongValues) {
          const body = replaceAt(valid.body, way, value);
          expectRefusedOrDone(await call({ line: valid.line, body }), { line: valid.line, way, value });
        }
  }, 120_000);

  it(`of random JSON are refused, or taken (seed ${seed})`, async () => {
    const requests = validRequests(known);
    const mutation = fc
      .tuple(fc.nat(requests.length - 1), fc.nat(), fc.jsonValue({ maxDepth: 4, noUnicodeString: false }))
      .map(([index, place, value]) => {
        const { line, body } = requests[index] as Valid;
        const ways = [[], ...waysInto(body)];
        return { line, body: replaceAt(body, ways[place % ways.length] ?? [], value) };
      });
    await fc.assert(
      fc.asyncProperty(mutation, async (sent) => expectRefusedOrDone(await call(sent), sent)),
      { numRuns: 800, seed },
    );
  }, 120_000);

  it(`of filters made of their own pieces are refused, or taken (seed ${seed})`, async () => {
    const piece = fc.constantFrom(
      ..."metrics. params. tags. attributes. dataset. name m `m` \"m\" 'x' 1 -1e5 nan inf run_id start_time status".split(
        " ",
      ),
      ..."= != > < >= <= LIKE ILIKE IN NOT IS NULL AND OR ( ) , . ; -- /* */ ' \" ` \\ % \u0000 ASC DESC".split(" "),
    );
    const text = fc.array(piece, { maxLength: 14 }).map((pieces) => pieces.join(" ").replaceAll(". ", "."));
    const searches = ["POST runs/search", "POST experiments/search", "POST logged-models/search"];
    const registry = ["GET registered-models/search", "GET model-versions/search"];
    const search = fc.tuple(fc.constantFrom(...searches, ...registry), text, text).map(([line, filter, order]) => ({
      line,
      body: {
        ...(registry.includes(line) || line === "POST experiments/search" ? {} : { experiment_ids: ["0"] }),
        filter,
        max_results: 5,
        order_by: line.includes("logged-models") ? [{ field_name: order }] : [order],
      },
    }));
    await fc.assert(
      fc.asyncProperty(search, async (sent) => expectRefusedOrDone(await call(sent), sent)),
      { numRuns: 800, seed },
    );
  }, 120_000);

  it.each(heavyFilters.map((filter) => [filter.slice(0, 40), filter]))(
    "of the filter %j… are answered",
    async (_, filter) => {
      for (const line of ["POST runs/search", "POST experiments/search", "POST logged-models/search"]) {
        const body = { ...(line.includes("experiments") ? {} : { experiment_ids: ["0"] }), filter, max_results: 5 };
        expectRefusedOrDone(await call({ line, body }), { line });
      }
      const body = {
        experiment_ids: ["0"],
        max_results: 5,
        order_by: [filter, ...filter.split(" AND ").slice(0, 3000)],
      };
      expectRefusedOrDone(await call({ line: "POST runs/search", body }), { order: filter.slice(0, 40) });
      for (const path of ["registered-models", "model-versions"])
        expectRefusedOrDone(await call({ line: `GET ${path}/search`, body: { filter } }), { path });
    },
  );

  it.each([
    ["deep lists", `${"[".repeat(100_000)}${"]".repeat(100_000)}`],
    ["deep objects", `${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`],
    ["a deep tag", `{"run_id":"x","tags":${"[".repeat(50_000)}${"]".repeat(50_000)}}`],
    ["JSON in JSON in JSON", JSON.stringify(JSON.stringify(JSON.stringify({ a: 1 })))],
    ["prototypes", '{"__proto__":{"run_id":"x"},"constructor":{"prototype":{}},"run_id":{"__proto__":null}}'],
    ["a cut body", '{"run_id":"x'],
    ["no UTF-8", Buffer.from([0x7b, 0xff, 0xfe, 0x7d]).toString("latin1")],
    ["numbers without end", `{"run_id":"x","metrics":[{"key":"m","value":${"9".repeat(100_000)},"timestamp":1}]}`],
    ["many experiments", JSON.stringify({ experiment_ids: Array.from({ length: 100_000 }, (_, i) => String(i)) })],
    ["many runs", JSON.stringify({ run_ids: Array.from({ length: 100_000 }, (_, i) => `run ${i}`) })],
    ["large numbers of experiments", JSON.stringify({ experiment_ids: ["9".repeat(40), "-1", "1e5", "0x1"] })],
  ])("with bodies of %s are answered", async (_, body) => {
    for (const path of [
      "runs/search",
      "runs/log-batch",
      "runs/create",
      "experiments/create",
      "experiments/search-datasets",
      "logged-models/search",
      "metrics/get-ranges",
    ])
      expectRefusedOrDone(await send("POST", `/api/2.0/mlflow/${path}`, body), { path });
  });

  it("with ways out of the artifacts' folder leave everything where it is", async () => {
    const base = "/api/2.0/mlflow-artifacts";
    const run = encodeURIComponent(known.run);
    for (const way of escapes) {
      const query = way.replaceAll("\\", "%5c");
      const paths: (readonly [string, string, string?, string?])[] = [
        ["GET", `${base}/artifacts/${way}`],
        ["PUT", `${base}/artifacts/${way}`, "hostile", "application/octet-stream"],
        ["DELETE", `${base}/artifacts/${way}`],
        ["GET", `${base}/artifacts?path=${query}`],
        ["GET", `/ajax-api/2.0/mlflow-artifacts/artifacts?path=${query}`],
        ["GET", `/api/2.0/mlflow/artifacts/list?run_id=${run}&path=${query}`],
        ["GET", `/get-artifact?run_id=${run}&path=${query}`],
        ["GET", `/get-artifact?run_id=${query}&path=a`],
        ["GET", `/model-versions/get-artifact?name=net&version=1&path=${query}`],
        ["GET", `/api/2.0/mlflow/logged-models/${known.model}/artifacts/files?artifact_file_path=${query}`],
        ["GET", `/api/2.0/mlflow/logged-models/${known.model}/artifacts/directories?artifact_directory_path=${query}`],
        ["GET", `/api/2.0/mlflow/logged-models/${way}`],
        ["POST", `${base}/mpu/create/${way}`, '{"path":"x","num_parts":1}'],
        ["POST", `${base}/mpu/create/a`, JSON.stringify({ path: way, num_parts: 1 })],
        ["POST", `${base}/mpu/complete/${way}`, JSON.stringify({ upload_id: way, parts: [] })],
        ["POST", `${base}/mpu/abort/${way}`, JSON.stringify({ upload_id: way })],
        ["PUT", `${base}/mpu/part/${way}/1`, "hostile", "application/octet-stream"],
        ["GET", `/page/${way}`],
        ["GET", `/page/uplot/${way}`],
        ["GET", `/${way}`],
      ];
      for (const [method, path, body, type] of paths) {
        const answer = await send(method, path, body, type);
        expectRefusedOrDone(answer, { method, path });
        // Where the folder lies is nobody's business.
        expect(answer.text, path).not.toContain(outside);
      }
    }
    // What hides behind a way out that was taken for a name is inside, and no link was followed or replaced.
    expect(readdirSync(artifacts)).toEqual(expect.arrayContaining(["inner"]));
  }, 60_000);

  it("for files below files, and files in the place of folders, are refused", async () => {
    const artifact = (path: string) => `/api/2.0/mlflow-artifacts/artifacts/${path}`;
    expect((await send("PUT", artifact("inner/file"), "x", "text/plain")).status).toBe(200);
    for (const path of ["inner", "inner/file/below", "inner/file/far/below"]) {
      for (const method of ["PUT", "GET"]) {
        const { status, text } = await send(method, artifact(path), method === "PUT" ? "x" : undefined, "text/plain");
        expect([400, 404], `${method} ${path}: ${text}`).toContain(status);
      }
      const list = `/api/2.0/mlflow-artifacts/artifacts?path=${path}`;
      expectRefusedOrDone(await send("GET", list), list);
      const mpu = (action: string) => `/api/2.0/mlflow-artifacts/mpu/${action}/${path}`;
      const begun = await send("POST", mpu("create"), '{"path":"file","num_parts":1}');
      expectRefusedOrDone(begun, path);
      const { upload_id = "" } = JSON.parse(begun.text) as { upload_id?: string };
      await send("PUT", `/api/2.0/mlflow-artifacts/mpu/part/${upload_id}/1`, "x", "text/plain");
      const etag = "9dd4e461268c8034f5c8564e155c67a6";
      const body = JSON.stringify({ path: "file", upload_id, parts: [{ part_number: 1, etag }] });
      expectRefusedOrDone(await send("POST", mpu("complete"), body), path);
      if (path !== "inner") expectRefusedOrDone(await send("DELETE", artifact(path)), path);
    }
    expect((await send("GET", artifact("inner/file"))).text).toBe("x");
  });

  it("with locations and sources outside make nothing there", async () => {
    for (const place of [
      "/etc",
      `file://${outside}`,
      outside,
      "mlflow-artifacts:/../..",
      "mlflow-artifacts:/%2e%2e/x",
    ]) {
      const { text } = await call({
        line: "POST experiments/create",
        body: { name: `at ${place}`, artifact_location: place },
      });
      const { experiment_id = "0" } = JSON.parse(text) as { experiment_id?: string };
      const created = await call({ line: "POST runs/create", body: { experiment_id } });
      expectRefusedOrDone(created, place);
      const { run } = JSON.parse(created.text) as { run?: { info: { run_id: string } } };
      const id = run?.info.run_id ?? "";
      expectRefusedOrDone(await call({ line: "GET artifacts/list", body: { run_id: id } }), place);
      expectRefusedOrDone(await send("GET", `/get-artifact?run_id=${id}&path=secret`), place);
      const version = { name: "net", source: place, run_id: id };
      expectRefusedOrDone(await call({ line: "POST model-versions/create", body: version }), place);
    }
  });
});
