import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import fastify, { type FastifyInstance } from "fastify";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PipelineError } from "../../src/base/errors.ts";
import { installErrorHandling } from "../../src/http/errors/api-error.ts";
import { apiErrorSchema } from "../../src/http/errors/api-error-schema.ts";
import { type Bundle, listBundles } from "../../src/inference/bundle.ts";
import { Classifier } from "../../src/inference/classifier.ts";
import { createWorkerPredictor, type Predictor } from "../../src/inference/predictor.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { createServiceMetrics } from "../../src/observability/metrics.ts";
import { createSystemMonitor } from "../../src/observability/system.ts";
import { createApp } from "../../src/serving/app.ts";
import type { AppDependencies } from "../../src/serving/dependencies.ts";
import { healthSchema, modelsSchema, predictionSchema } from "../../src/serving/schemas.ts";
import { formBody, formType, imagePart, predict } from "./client.ts";
import { fakeClassifier, repositoryOf } from "./repository.ts";
import { cifarClasses, writeTinyBundle } from "./tiny-bundle.ts";

let root: string;
let predictor: Predictor;
let app: FastifyInstance;
let dependencies: AppDependencies;
let bundle: Bundle;
const logLines: Record<string, unknown>[] = [];

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "api-"));
  bundle = await writeTinyBundle(root);
  const { metadata, modelPath } = bundle;
  predictor = await createWorkerPredictor({
    modelPath,
    preprocessing: metadata.preprocessing,
    classCount: metadata.classes.length,
    workers: 1,
  });
  const system = createSystemMonitor();
  dependencies = {
    models: repositoryOf({
      bundle,
      classifier: new Classifier({ predictor, metadata, imageLimits: { maxPixels: 4_000_000 } }),
      list: () => listBundles(root, { check: "metadata" }),
    }),
    metrics: createServiceMetrics({ system }),
    system,
    logger: createLogger({ stream: { write: (line) => void logLines.push(JSON.parse(line)) } }),
    version: "1.2.3",
    limits: { maxUploadBytes: 200_000, maxImagesPerRequest: 8 },
  };
  app = await createApp(dependencies);
});

afterAll(async () => {
  await app?.close();
  await predictor?.[Symbol.asyncDispose]();
  await rm(root, { recursive: true, force: true });
});

/** The app with other dependencies, closed afterwards. */
async function withApp(overrides: Partial<AppDependencies>, use: (app: FastifyInstance) => Promise<void>) {
  const other = await createApp({ ...dependencies, ...overrides });
  try {
    await use(other);
  } finally {
    await other.close();
  }
}

const photo = () => sharp({ create: { width: 60, height: 40, channels: 3, background: "#3366aa" } });
const png = () => photo().png().toBuffer();

/** Asserts an error answer of the one shape; gives its body. */
function expectError(response: Awaited<ReturnType<typeof predict>>, status: number, code: string) {
  expect({ status: response.statusCode, code: response.json().code }).toEqual({ status, code });
  expect(response.headers["content-type"]).toBe("application/json; charset=utf-8");
  // The Open Inference Protocol has the message under one more name.
  const { error, ...fields } = response.json();
  const body = apiErrorSchema.strict().parse(fields);
  if (error !== undefined) expect(error).toBe(body.message);
  expect(body.detail).toBe(body.message);
  expect(body.request_id).toBe(response.headers["x-request-id"]);
  return body;
}

describe("POST /predict", () => {
  it("answers with the fields of the specification", async () => {
    const response = await predict(app, [imagePart(await png())]);
    expect(response.statusCode).toBe(200);
    const body = predictionSchema.strict().parse(response.json());
    expect(Object.keys(body.all_probabilities)).toEqual(cifarClasses);
    expect(Object.values(body.all_probabilities).reduce((a, b) => a + b)).toBeCloseTo(1, 10);
    expect(body.predicted_label).toBe(cifarClasses[body.predicted_class]);
    expect(body.confidence).toBe(Math.max(...Object.values(body.all_probabilities)));
    expect(body.confidence).toBe(body.all_probabilities[body.predicted_label]);
    expect(body.total_time_seconds).toBeGreaterThan(body.inference_time_seconds);
    expect(body).toMatchObject({ model: "tiny_trainer_20260101-000000", synthetic_data: false });
    expect(body).not.toHaveProperty("notice");
  });

  it.each([
    ["JPEG", () => photo().jpeg()],
    ["progressive JPEG", () => photo().jpeg({ progressive: true })],
    ["CMYK JPEG", () => photo().toColourspace("cmyk").jpeg()],
    ["EXIF-rotated JPEG", () => photo().withMetadata({ orientation: 6 }).jpeg()],
    ["WebP", () => photo().webp()],
    ["GIF", () => photo().gif()],
    ["16-bit PNG", () => photo().toColourspace("rgb16").png()],
    ["gray PNG", () => photo().greyscale().toColourspace("b-w").png()],
    ["palette PNG", () => photo().png({ palette: true })],
    ["PNG with alpha", () => photo().ensureAlpha(0.5).png()],
    ["1 x 1 PNG", () => photo().resize(1, 1).png()],
  ])("classifies a %s", async (_name, make) => {
    const response = await predict(app, [imagePart(await make().toBuffer(), "any.name", "application/octet-stream")]);
    expect(response.statusCode, response.body).toBe(200);
  });

  it("ignores other form fields, file name and declared type", async () => {
    const parts = [{ name: "note", content: "x" }, imagePart(await png(), "../../etc/passwd", "text/html")];
    expect((await predict(app, parts)).statusCode).toBe(200);
  });

  it.each([
    ["an empty file", "", 400, "IMAGE_EMPTY"],
    ["text", "this is not an image at all", 415, "IMAGE_UNSUPPORTED"],
    ["an SVG", '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', 415, "IMAGE_UNSUPPORTED"],
    ["an HTML page", "<!doctype html><script>alert(1)</script>", 415, "IMAGE_UNSUPPORTED"],
  ])("refuses %s", async (_name, content, status, code) => {
    expectError(await predict(app, [imagePart(content)]), status, code);
  });

  it("refuses a truncated JPEG", async () => {
    const file = await photo().resize(300, 300).jpeg().toBuffer();
    expectError(await predict(app, [imagePart(file.subarray(0, file.length / 2))]), 400, "IMAGE_CORRUPT");
  });

  it("refuses a small file that states huge dimensions", async () => {
    const bomb = await photo().png().toBuffer();
    // The header's width and height, and the checksum over it.
    bomb.writeUInt32BE(16_000, 16);
    bomb.writeUInt32BE(16_000, 20);
    bomb.writeUInt32BE(crc32(bomb.subarray(12, 29)), 29);
    const { message } = expectError(await predict(app, [imagePart(bomb)]), 413, "IMAGE_TOO_LARGE");
    expect(message).toContain("16000 x 16000 = 256000000 pixels, the limit is 4000000");
  });

  it("refuses a file above the upload limit", async () => {
    const { message } = expectError(await predict(app, [imagePart(Buffer.alloc(200_001, 1))]), 413, "IMAGE_TOO_LARGE");
    expect(message).toContain("200000 bytes");
    // Far above: the body limit answers, or the stream's; never a crash.
    const huge = await predict(app, [imagePart(Buffer.alloc(2_000_000, 1))]);
    expect(huge.statusCode).toBe(413);
    apiErrorSchema.strict().parse(huge.json());
  });

  it("names the field that it wants when another one was sent", async () => {
    const part = { ...imagePart(await png()), name: "picture" };
    const { message } = expectError(await predict(app, [part]), 400, "REQUEST_INVALID");
    expect(message).toContain('"file" but a file in "picture"');
  });

  it("says the same remedy for every content type that it does not take", async () => {
    const image = await png();
    const messages = await Promise.all(
      [undefined, "application/x-www-form-urlencoded", "text/plain", "application/xml"].flatMap((type) =>
        ["/predict", "/predict/batch"].map(async (url) => {
          const headers = type === undefined ? {} : { "content-type": type };
          const { message } = expectError(
            await app.inject({ method: "POST", url, payload: image, headers }),
            415,
            "UNSUPPORTED_MEDIA_TYPE",
          );
          expect(message).toContain(`got ${type ?? "no content type"}`);
          return message.split("; ").at(-1);
        }),
      ),
    );
    expect(new Set(messages)).toEqual(
      new Set(['send the image as the form field "file", as curl -F file=@image.jpg does']),
    );
    const { message } = expectError(
      await app.inject({ method: "POST", url: "/feedback", payload: "a=1", headers: { "content-type": "text/plain" } }),
      415,
      "UNSUPPORTED_MEDIA_TYPE",
    );
    expect(message).toContain("content-type: application/json");
  });

  it("refuses a compressed body before it reads it", async () => {
    for (const encoding of ["gzip", "br", "x-unknown"]) {
      const response = await predict(app, [imagePart(await png())], { "content-encoding": encoding });
      const { message } = expectError(response, 415, "UNSUPPORTED_MEDIA_TYPE");
      expect(message).toContain(`content encoding "${encoding}"`);
      expect(response.headers["accept-encoding"]).toBe("identity");
    }
    expect((await predict(app, [imagePart(await png())], { "content-encoding": "identity" })).statusCode).toBe(200);
  });

  it("takes a file part without a file name when its type is an image", async () => {
    const part = { name: "file", type: "image/png", content: await png() };
    expect((await predict(app, [part])).statusCode).toBe(200);
    expectError(await predict(app, [{ ...part, type: "text/plain" }]), 400, "REQUEST_INVALID");
  });

  it("says that images are not sent as text, however long the text", async () => {
    for (const content of ["iVBORw0KGgo=", "A".repeat(20_000)]) {
      const { message } = expectError(await predict(app, [{ name: "file", content }]), 400, "REQUEST_INVALID");
      expect(message).toContain("images are not sent as text");
    }
  });

  it("answers with a slash at the end of the address too", async () => {
    const payload = formBody([imagePart(await png())]);
    for (const url of ["/predict/", "/predict/batch/", "/predict/?top_k=1"]) {
      const response = await app.inject({ method: "POST", url, payload, headers: { "content-type": formType } });
      expect(response.statusCode, url).toBe(200);
    }
    for (const url of ["/health/", "/docs/", "/metrics/"]) expect((await app.inject(url)).statusCode, url).toBe(200);
  });

  it("refuses a text field named file", async () => {
    const { message } = expectError(await predict(app, [{ name: "file", content: "abc" }]), 400, "REQUEST_INVALID");
    expect(message).toContain('"file" but text in "file"');
  });

  it("gives addresses that cannot be decoded, and files that are not there, the same shape", async () => {
    expectError(await app.inject("/%zz"), 400, "REQUEST_INVALID");
    expectError(await app.inject("/docs/static/..%2f..%2fpackage.json"), 404, "ROUTE_NOT_FOUND");
  });

  it("refuses a form without parts, and one with two or more files", async () => {
    expectError(await predict(app, []), 400, "REQUEST_INVALID");
    const part = imagePart(await png());
    for (const count of [2, 3, 10]) {
      const { message } = expectError(await predict(app, new Array(count).fill(part)), 400, "REQUEST_INVALID");
      expect(message).toContain("one image per request");
    }
  });

  it("refuses bodies that are no multipart form", async () => {
    const post = (type: string | undefined, payload: string | Buffer) =>
      app.inject({
        method: "POST",
        url: "/predict",
        payload,
        headers: type === undefined ? {} : { "content-type": type },
      });
    expectError(await post("text/plain", "cat"), 415, "UNSUPPORTED_MEDIA_TYPE");
    expectError(await post("application/json", "{}"), 400, "REQUEST_INVALID");
    expectError(await post("application/json", "{broken"), 400, "REQUEST_INVALID");
    expectError(await post(undefined, ""), 415, "UNSUPPORTED_MEDIA_TYPE");
    expectError(await post("multipart/form-data", "no boundary"), 400, "REQUEST_INVALID");
    expectError(await post(formType, "garbage without any boundary"), 400, "REQUEST_INVALID");
    const body = formBody([imagePart(await png())]);
    expectError(await post(formType, body.subarray(0, body.length - 60)), 400, "REQUEST_INVALID");
    expectError(await predict(app, [{ ...imagePart(await png()), name: "__proto__" }]), 400, "REQUEST_INVALID");
    expectError(await predict(app, new Array(60).fill({ name: "a", content: "b" })), 400, "REQUEST_INVALID");
  });

  it.each([
    ["QUEUE_FULL", 503],
    ["INFERENCE_FAILED", 503],
    ["INFERENCE_UNAVAILABLE", 503],
    ["SHUTTING_DOWN", 503],
  ] as const)("answers %s with %i and Retry-After", async (code, status) => {
    const classifier = fakeClassifier(() => Promise.reject(new PipelineError(code, "secret /path")));
    await withApp({ models: repositoryOf({ bundle, classifier }) }, async (other) => {
      const response = await predict(other, [imagePart(await png())]);
      const { message } = expectError(response, status, code);
      expect(response.headers["retry-after"]).toBe("1");
      if (code.startsWith("INFERENCE")) expect(message).not.toContain("secret");
    });
  });

  it("hides unexpected failures behind one 500 and logs them", async () => {
    const classifier = fakeClassifier(() => Promise.reject(new TypeError("internal secret")));
    await withApp({ models: repositoryOf({ bundle, classifier }) }, async (other) => {
      const response = await predict(other, [imagePart(await png())]);
      const { request_id: requestId } = expectError(response, 500, "INTERNAL_ERROR");
      expect(response.body).not.toContain("secret");
      const line = logLines.find((entry) => entry.reqId === requestId && entry.level === "error");
      expect(JSON.stringify(line)).toContain("internal secret");
    });
  });

  it("gives up at its time limit", async () => {
    const classifier = fakeClassifier(
      (signal) => new Promise((_resolve, reject) => signal?.addEventListener("abort", () => reject(signal.reason))),
    );
    await withApp({ models: repositoryOf({ bundle, classifier }), limits: { predictTimeoutMs: 50 } }, async (other) => {
      expectError(await predict(other, [imagePart(await png())]), 503, "DEADLINE_EXCEEDED");
    });
  });

  it("says when the model was trained on synthetic data", async () => {
    const { metadata } = bundle;
    const synthetic = { ...metadata, dataset: { ...metadata.dataset, synthetic: true } };
    const { classifier } = dependencies.models.active;
    const models = repositoryOf({ bundle: { ...bundle, metadata: synthetic }, classifier });
    await withApp({ models }, async (other) => {
      for (const body of [
        (await predict(other, [imagePart(await png())])).json(),
        (await other.inject("/health")).json(),
      ]) {
        expect(body).toMatchObject({ synthetic_data: true, notice: expect.stringContaining("synthetic") });
      }
    });
  });
});

describe("GET routes", () => {
  it("/health tells status, model, uptime and load", async () => {
    const response = await app.inject("/health");
    expect(response.statusCode).toBe(200);
    const body = healthSchema.strict().parse(response.json());
    expect(body).toMatchObject({
      status: "ready",
      model_loaded: true,
      model: "tiny_trainer_20260101-000000",
      version: "1.2.3",
    });
    expect(body.uptime_seconds).toBeGreaterThan(0);
  });

  it.each([
    ["ready", 200],
    ["degraded", 200],
    ["down", 503],
  ] as const)("say so when the model is %s", async (readiness, status) => {
    const classifier = fakeClassifier(() => Promise.reject(new Error("unused")), readiness);
    await withApp({ models: repositoryOf({ bundle, classifier }) }, async (other) => {
      const health = await other.inject("/health");
      expect(health.statusCode).toBe(status);
      const body = healthSchema.strict().parse(health.json());
      expect(body).toMatchObject({ status: readiness, model_loaded: status === 200 });
      const answers: Record<string, object> = {};
      for (const url of ["/health/ready", "/v2/health/ready", `/v2/models/${bundle.metadata.name}/ready`]) {
        const response = await other.inject(url);
        expect(response.statusCode, url).toBe(status);
        answers[url] = response.json();
      }
      const ready = status === 200;
      expect(Object.values(answers)).toMatchObject([
        ready ? { status: "ready" } : { code: "INFERENCE_UNAVAILABLE" },
        { live: true, ready },
        { ready },
      ]);
      for (const url of ["/health/live", "/v2/health/live"]) expect((await other.inject(url)).statusCode).toBe(200);
    });
  });

  it("/classes lists the labels in order", async () => {
    expect((await app.inject("/classes")).json()).toEqual({ classes: cifarClasses, count: 10 });
  });

  it("/models lists bundles newest first, marks the served one and reports damaged ones without paths", async () => {
    const newer = await writeTinyBundle(root, { name: "newer", createdAt: "2026-06-01T00:00:00.000Z" });
    const broken = await writeTinyBundle(root, { name: "broken" });
    await writeFile(join(broken.directory, "metadata.json"), "{}");
    const response = await app.inject("/models");
    const body = modelsSchema.strict().parse(response.json());
    expect(body.models.map(({ name, active }) => [name, active])).toEqual([
      ["newer", false],
      ["tiny_trainer_20260101-000000", true],
    ]);
    expect(body.models[1]).toMatchObject({ test_accuracy: 0.931, test_accuracy_with_tta: 0.938, input_size: [32, 32] });
    expect(body.damaged).toMatchObject([{ name: "broken", message: expect.stringContaining("broken/metadata.json") }]);
    expect(response.body).not.toContain(root);
    await rm(newer.directory, { recursive: true });
    await rm(broken.directory, { recursive: true });
  });

  it("/metrics counts by route pattern, whatever URLs clients try", async () => {
    for (const url of ["/nosuchpath/1", "/nosuchpath/2?q=3", "/page/../../../package.json", "/%2e%2e/x"]) {
      const response = await app.inject(url);
      expectError(response, 404, "ROUTE_NOT_FOUND");
    }
    const response = await app.inject("/metrics");
    expect(response.headers["content-type"]).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(response.body).toMatch(/^api_requests_total\{method="POST",endpoint="\/predict",status="200"\} \d+$/m);
    expect(response.body).toMatch(/^api_requests_total\{method="GET",endpoint="unmatched",status="404"\} \d+$/m);
    expect(response.body).toMatch(/^model_predictions_total\{predicted_class="\w+"\} \d+$/m);
    expect(response.body).not.toContain("nosuchpath");
  });

  it("/ and its files come with a policy that forbids inline script and style, and contain none", async () => {
    const page = await app.inject("/");
    expect(page.headers["content-type"]).toBe("text/html; charset=utf-8");
    const policy = String(page.headers["content-security-policy"]);
    expect(policy).toContain("script-src 'self';");
    expect(policy).not.toMatch(/unsafe|https?:/);
    expect(page.body).not.toMatch(/<style|style=|\son\w+=|<script(?![^>]*src=)|https?:\/\//);
    for (const [, url] of page.body.matchAll(/(?:src|href)="(\/page\/[^"]+)"/g)) {
      expect((await app.inject(url!)).statusCode, url).toBe(200);
    }
  });

  it("/docs needs nothing from elsewhere", async () => {
    const docs = await app.inject("/docs");
    expect(docs.statusCode).toBe(200);
    expect(String(docs.headers["content-security-policy"])).toContain("script-src 'self';");
    for (const [, url] of docs.body.matchAll(/(?:src|href)="([^"]+)"/g)) {
      expect(url).not.toMatch(/^https?:|^\/\//);
      expect((await app.inject(new URL(url!, "http://x/docs").pathname)).statusCode, url).toBe(200);
    }
  });
});

describe("every answer", () => {
  it("carries security headers", async () => {
    for (const url of ["/", "/health", "/nope", "/docs", "/metrics", "/page/page.js"]) {
      expect((await app.inject(url)).headers, url).toMatchObject({
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "content-security-policy": expect.stringContaining("frame-ancestors 'none'"),
        "x-request-id": expect.stringMatching(/./),
      });
    }
  });

  it("echoes a well-formed request id and replaces any other", async () => {
    const idFor = async (id: string) =>
      (await app.inject({ url: "/health", headers: { "x-request-id": id } })).headers["x-request-id"];
    expect(await idFor("abc-123:X.y_z")).toBe("abc-123:X.y_z");
    for (const bad of ["", "a b", "<script>", "x".repeat(129), "ä", "-dash-first"]) {
      expect(await idFor(bad)).toMatch(/^[0-9a-f-]{36}$/);
    }
  });

  it("names the allowed methods when the method is wrong", async () => {
    for (const [method, url, allow] of [
      ["GET", "/predict", "POST"],
      ["POST", "/health", "GET, HEAD"],
      ["DELETE", "/models", "GET, HEAD"],
      ["PATCH", "/predict", "POST"],
      ["PUT", "/predict/batch/", "POST"],
      ["OPTIONS", "/health/live", "GET, HEAD"],
      ["TRACE", "/health", "GET, HEAD"],
      ["DELETE", "/v2/models/any/versions/1/infer", "POST"],
      ["PATCH", "/v2/models/any/ready", "GET, HEAD"],
      ["PUT", "/v2/repository/models/a%20b/load?x=1", "POST"],
      ["DELETE", "/docs/static/index.css", "GET, HEAD"],
    ] as const) {
      const response = await app.inject({ method, url });
      expectError(response, 405, "METHOD_NOT_ALLOWED");
      expect(response.headers.allow).toBe(allow);
    }
    for (const method of ["PATCH", "DELETE", "OPTIONS", "GET"] as const) {
      for (const url of ["/nope", "/v2/models", "/v2/models/a/b/c"]) {
        expectError(await app.inject({ method, url }), 404, "ROUTE_NOT_FOUND");
      }
    }
  });

  it("names every method that a route takes, whichever that is", async () => {
    const other = fastify() as unknown as FastifyInstance;
    installErrorHandling(other, () => undefined);
    other.route({ method: ["PUT", "PATCH", "DELETE"], url: "/things/:id", handler: async () => ({}) });
    const response = await other.inject({ method: "POST", url: "/things/7" });
    expect(response.statusCode).toBe(405);
    expect(String(response.headers.allow).split(", ").sort()).toEqual(["DELETE", "PATCH", "PUT"]);
    await other.close();
  });

  it("is logged once with request id, status and duration, without the query of secrets", async () => {
    await app.inject({ url: "/health", headers: { "x-request-id": "log-me", authorization: "Bearer secret" } });
    await new Promise(setImmediate);
    const lines = logLines.filter((line) => line.reqId === "log-me");
    expect(lines).toMatchObject([
      { status: 200, req: { method: "GET", url: "/health" }, durationMs: expect.any(Number) },
    ]);
    expect(JSON.stringify(lines)).not.toContain("secret");
  });
});
