import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { createLogger } from "../../src/observability/logger.ts";
import { createServiceMetrics } from "../../src/observability/metrics.ts";
import { createSystemMonitor } from "../../src/observability/system.ts";
import { createApp } from "../../src/serving/app.ts";
import { openModel } from "../../src/serving/open-model.ts";
import { startServer } from "../../src/serving/server.ts";
import { waitFor } from "../stack/programs.ts";
import { formBody, formType, imagePart, predict } from "./client.ts";
import { repositoryOf } from "./repository.ts";
import { writeTinyBundle } from "./tiny-bundle.ts";

/** A worker without a model: the first two pixels of an image say what goes wrong. */
const fakeWorker = new URL(
  `data:text/javascript,${encodeURIComponent(`
    import { parentPort, workerData } from "node:worker_threads";
    parentPort.on("message", ({ id, count, images }) => {
      const size = images.length / count;
      const logits = new Float32Array(count * workerData.classCount);
      for (let n = 0; n < count; n++) {
        const [command, mark] = images.subarray(n * size);
        if (mark === 1 && command === 10) throw new Error("worker broke");
        if (mark === 1 && command === 20) return parentPort.postMessage({ type: "failed", id, message: "bad batch" });
        if (mark === 1 && command === 30) console.error("careful");
        logits[n * workerData.classCount] = command / 255;
      }
      parentPort.postMessage({ type: "result", id, logits });
    });
    parentPort.postMessage({ type: "ready" });
  `)}`,
);

let root: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "request-ids-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const image = (command: number) =>
  sharp(Buffer.from([command, 0, 0, 1, 0, 0, ...new Array(3 * 32 * 32 - 6).fill(50)]), {
    raw: { width: 32, height: 32, channels: 3 },
  })
    .png()
    .toBuffer();

type Line = Record<string, unknown>;

function collect() {
  const lines: Line[] = [];
  const logger = createLogger({ level: "debug", stream: { write: (text) => void lines.push(JSON.parse(text)) } });
  return { lines, logger };
}

/** An app whose two images that come at once are one model run. */
async function start() {
  const { lines, logger } = collect();
  const bundle = await writeTinyBundle(await mkdtemp(join(root, "models-")));
  const model = await openModel(bundle, {
    ...{ workers: 1, threads: 1, maxBatchSize: 2, maxDelayMs: 60_000, window: "fixed", imageLimits: {} },
    ...{ form: "portable", version: "1.2.3" },
    ...{ logger, onBatch: () => undefined, worker: fakeWorker },
  });
  const system = createSystemMonitor();
  const metrics = createServiceMetrics({ system });
  const models = repositoryOf({ bundle, classifier: model.classifier });
  const app = await createApp({ models, metrics, system, logger, version: "1.2.3" });
  onTestFinished(async () => {
    await app.close();
    await model[Symbol.asyncDispose]();
  });
  const both = async (command: number) => {
    const parts = [imagePart(await image(command))];
    const ids = ["first-request", "second-request"];
    return Promise.all(ids.map((id) => predict(app, parts, { "x-request-id": id })));
  };
  const lineWith = (msg: string) => waitFor(`the line ${msg}`, () => lines.find((line) => line.msg === msg));
  return { app, lines, both, lineWith };
}

const sorted = (ids: unknown) => [...(ids as string[])].sort();

describe("the request id", () => {
  it("stands in the line of a worker thread that crashed, for each request of its batch", async () => {
    const { lines, both, lineWith } = await start();
    expect((await both(10)).map(({ statusCode }) => statusCode)).toEqual([503, 503]);
    const crash = await lineWith("inference worker crashed; restarting it");
    expect(crash).toMatchObject({ level: "error", worker: "inference-0", err: { message: "worker broke" } });
    expect(sorted(crash.reqIds)).toEqual(["first-request", "second-request"]);
    const failures = lines.filter(({ msg }) => msg === "request failed").map(({ reqId }) => reqId);
    expect(sorted(failures)).toEqual(["first-request", "second-request"]);
  });

  it("stands in the lines of a batch that failed, with the worker's reason", async () => {
    const { lines, both } = await start();
    expect((await both(20)).map(({ statusCode }) => statusCode)).toEqual([503, 503]);
    const failures = lines.filter(({ msg }) => msg === "request failed");
    expect(sorted(failures.map(({ reqId }) => reqId))).toEqual(["first-request", "second-request"]);
    for (const { err } of failures) expect(JSON.stringify(err)).toContain("bad batch");
  });

  it("stands in what a worker thread writes, and in the line of each model run", async () => {
    const { both, lineWith } = await start();
    expect((await both(30)).map(({ statusCode }) => statusCode)).toEqual([200, 200]);
    const output = await lineWith("inference worker");
    expect(output).toMatchObject({ level: "warn", text: "careful", worker: "inference-0" });
    const run = await lineWith("model run");
    expect(run).toMatchObject({ level: "debug", images: 2, seconds: expect.any(Number) });
    for (const { reqIds } of [output, run]) expect(sorted(reqIds)).toEqual(["first-request", "second-request"]);
  });

  it("stands once in the line of a model run with several images of one request", async () => {
    const { app, lineWith } = await start();
    const parts = [imagePart(await image(40)), imagePart(await image(50))];
    const headers = { "content-type": formType, "x-request-id": "one-request" };
    const payload = formBody(parts);
    expect((await app.inject({ method: "POST", url: "/predict/batch", headers, payload })).statusCode).toBe(200);
    expect(await lineWith("model run")).toMatchObject({ images: 2, reqIds: ["one-request"] });
  });

  it("stands in every line about a model that a request loads, also when it is refused", async () => {
    const { lines, logger } = collect();
    const folder = await mkdtemp(join(root, "models-"));
    const bundle = await writeTinyBundle(folder);
    await writeTinyBundle(folder, { name: "good_trainer_20260201-000000" });
    await writeTinyBundle(folder, { name: "bad_trainer_20260201-000000", classes: ["only", "two"] });
    const server = await startServer({ bundle, port: 0, logger });
    onTestFinished(() => server.close());
    for (const name of ["good", "bad"]) {
      const response = await fetch(`${server.url}/v2/repository/models/${name}_trainer/load`, {
        method: "POST",
        headers: { "x-request-id": `load-${name}` },
      });
      expect(response.status).toBe(name === "good" ? 200 : 422);
    }
    const about = lines.filter(({ msg }) => msg === "model loaded" || msg === "model refused");
    expect(about.map(({ msg, reqId }) => [msg, reqId])).toEqual([
      ["model loaded", "load-good"],
      ["model loaded", "load-good"],
      ["model refused", "load-bad"],
    ]);
  });
});
