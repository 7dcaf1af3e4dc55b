import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { loadInferenceModel } from "../../src/backends/onnx/inference-model.ts";
import { decodeImage } from "../../src/data/transforms/decode-image.ts";
import type { Bundle } from "../../src/inference/bundle.ts";
import { Classifier } from "../../src/inference/classifier.ts";
import { createWorkerPredictor } from "../../src/inference/predictor.ts";
import { normalise, stackImages } from "../../src/inference/preprocess.ts";
import { softmax } from "../../src/inference/softmax.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { metricTable } from "../../src/observability/metric-table.ts";
import { healthSchema, predictionSchema } from "../../src/serving/schemas.ts";
import { type ServerOptions, startServer } from "../../src/serving/server.ts";
import { floatData } from "../../src/tensor/tensor.ts";
import { writeTinyBundle } from "./tiny-bundle.ts";

let root: string;
let bundle: Bundle;
let images: Buffer[];

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "server-"));
  bundle = await writeTinyBundle(root);
  images = await Promise.all(
    Array.from({ length: 24 }, (_, i) => {
      const pixels = createHash("shake256", { outputLength: 32 * 32 * 3 })
        .update(`image ${i}`)
        .digest();
      return sharp(pixels, { raw: { width: 32, height: 32, channels: 3 } })
        .png()
        .toBuffer();
    }),
  );
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function start(options: Partial<ServerOptions> = {}) {
  const server = await startServer({
    bundle: bundle.directory,
    port: 0,
    logger: createLogger({ level: "silent" }),
    ...options,
  });
  onTestFinished(() => server.close());
  return server;
}

async function post(url: string, image: Buffer): Promise<Response> {
  const form = new FormData();
  form.append("file", new Blob([new Uint8Array(image)]), "image.png");
  return fetch(`${url}/predict`, { method: "POST", body: form });
}

describe("startServer", () => {
  it("answers many clients at once, each with the probabilities of its own image", async () => {
    const server = await start({ workers: 2, maxBatchSize: 8 });
    expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    await using model = await loadInferenceModel(bundle.modelPath);
    const { preprocessing, classes, calibration } = bundle.metadata;
    const answers = await Promise.all(
      Array.from({ length: 120 }, async (_, i) => {
        const response = await post(server.url, images[i % images.length]!);
        expect(response.status).toBe(200);
        return predictionSchema.parse(await response.json());
      }),
    );
    for (const [i, image] of images.entries()) {
      const batch = normalise(stackImages([await decodeImage(image, preprocessing)]), preprocessing);
      const expected = softmax(floatData((await model.run({ images: batch })).logits!), calibration.temperature);
      for (let j = i; j < answers.length; j += images.length) {
        classes.forEach((name, k) => {
          expect(Math.abs(answers[j]!.all_probabilities[name]! - expected[k]!)).toBeLessThan(1e-5);
        });
      }
    }
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toContain('api_requests_total{method="POST",endpoint="/predict",status="200"} 120');
  });

  it("has one value of each gauge however many workers compute", async () => {
    const server = await start({ workers: 3, queueLimit: 100 });
    for (const image of images) expect((await post(server.url, image)).status).toBe(200);
    const text = await (await fetch(`${server.url}/metrics`)).text();
    const valuesOf = (name: string) => [...text.matchAll(new RegExp(`^${name} (.+)$`, "gm"))].map(([, value]) => value);
    const unlabelled = Object.entries(metricTable).filter(
      ({ 1: row }) => row.type === "gauge" && row.labels.length === 0,
    );
    for (const [name] of unlabelled) expect(valuesOf(name), name).toHaveLength(1);
    expect(valuesOf("model_queue_limit")).toEqual(["100"]);
    expect(Number(valuesOf("model_confidence_score")[0])).toBeLessThanOrEqual(1);
    expect(text.match(/^model_info\{.*\} 1$/gm)).toHaveLength(1);
  });

  it("answers 503 with Retry-After when the queue is full, and recovers", async () => {
    const server = await start({ workers: 1, queueLimit: 1, maxBatchSize: 1, maxDelayMs: 0 });
    const responses = await Promise.all(Array.from({ length: 60 }, (_, i) => post(server.url, images[i % 24]!)));
    const statuses = new Set(responses.map(({ status }) => status));
    expect([...statuses].sort()).toEqual([200, 503]);
    const refused = responses.find(({ status }) => status === 503)!;
    expect(refused.headers.get("retry-after")).toBe("1");
    expect(await refused.json()).toMatchObject({ code: "QUEUE_FULL" });
    expect((await post(server.url, images[0]!)).status).toBe(200);
  });

  it("finishes the requests that it has when closed, then refuses connections", async () => {
    // Long enough for all requests to be in the queue before the first batch starts.
    const server = await start({ maxDelayMs: 3000, window: "fixed", maxBatchSize: 32 });
    const running = images.slice(0, 8).map((image) => post(server.url, image));
    const queueLength = async () => {
      return healthSchema.parse(await (await fetch(`${server.url}/health`)).json()).queue_length;
    };
    while ((await queueLength()) < 8) await new Promise((resolve) => setTimeout(resolve, 10));
    const closing = server.close();
    const responses = await Promise.all(running);
    expect(responses.map(({ status }) => status)).toEqual(new Array(8).fill(200));
    await closing;
    await server.close();
    await expect(fetch(`${server.url}/health`)).rejects.toThrow();
  });

  it("answers malformed HTTP with a JSON 400", async () => {
    const server = await start();
    const text = await new Promise<string>((resolve, reject) => {
      const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
      let received = "";
      socket.setEncoding("utf8").on("data", (chunk) => {
        received += chunk;
      });
      socket.on("close", () => resolve(received)).on("error", reject);
      socket.write("NOT HTTP AT ALL\r\n\r\n");
    });
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
    expect(JSON.parse(text.split("\r\n\r\n")[1]!)).toMatchObject({ code: "REQUEST_INVALID" });
  });

  it("answers headers that are too large with a JSON 431", async () => {
    const server = await start();
    const response = await fetch(`${server.url}/health/live`, { headers: { cookie: "x".repeat(20_000) } });
    expect(response.status).toBe(431);
    expect(await response.json()).toMatchObject({
      code: "REQUEST_HEADERS_TOO_LARGE",
      message: expect.stringContaining("16384 bytes"),
    });
  });

  it("survives clients that go away in the middle of an upload", async () => {
    const server = await start();
    const port = Number(new URL(server.url).port);
    await Promise.all(
      Array.from({ length: 10 }, () => {
        return new Promise<void>((resolve) => {
          const socket = connect(port, "127.0.0.1", () => {
            socket.write(
              "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n" +
                'Content-Length: 5000\r\n\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc',
              () => setTimeout(() => socket.destroy(), 10),
            );
          });
          socket.on("close", () => resolve());
        });
      }),
    );
    expect((await post(server.url, images[0]!)).status).toBe(200);
  });

  it("says which address is taken and what to do", async () => {
    const blocker = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => blocker.once("listening", resolve));
    onTestFinished(() => void blocker.close());
    const { port } = blocker.address() as { port: number };
    await expect(start({ port })).rejects.toMatchObject({
      code: "ADDRESS_UNAVAILABLE",
      message: expect.stringContaining(`127.0.0.1 port ${port}`),
      remedy: expect.stringContaining("--port"),
    });
  });

  it("does not hash a bundle again that was checked already", async () => {
    const metadata = { ...bundle.metadata, modelSha256: "0".repeat(64) };
    const server = await start({ bundle: { ...bundle, metadata } });
    expect((await post(server.url, images[0]!)).status).toBe(200);
  });

  it("refuses a damaged bundle and a model that does not fit its metadata", async () => {
    const altered = await writeTinyBundle(root, { name: "altered" });
    await writeFile(altered.modelPath, "no model");
    await expect(start({ bundle: altered.directory })).rejects.toMatchObject({ code: "BUNDLE_DAMAGED" });
    const misfit = await writeTinyBundle(root, { name: "misfit", classes: ["only", "two"] });
    await expect(start({ bundle: misfit.directory })).rejects.toMatchObject({
      code: "INFERENCE_UNAVAILABLE",
      message: expect.stringContaining("expected [1, 2]"),
    });
  });
});

describe("served logits", () => {
  it("are the same bits as a direct run at the same batch size, and batching changes them by less than 1e-5", async () => {
    const { preprocessing, classes } = bundle.metadata;
    await using model = await loadInferenceModel(bundle.modelPath);
    await using predictor = await createWorkerPredictor({
      modelPath: bundle.modelPath,
      preprocessing,
      classCount: classes.length,
      workers: 1,
    });
    await using classifier = new Classifier({ predictor, metadata: bundle.metadata, maxDelayMs: 5, maxBatchSize: 24 });
    const decoded = await Promise.all(images.map((image) => decodeImage(image, preprocessing)));
    const direct = async (from: number, to: number) => {
      const batch = normalise(stackImages(decoded.slice(from, to)), preprocessing);
      return floatData((await model.run({ images: batch })).logits!);
    };
    const together = await Promise.all(decoded.map((image) => classifier.classifyImage(image)));
    const expected = await direct(0, images.length);
    for (const [i, image] of images.entries()) {
      expect(together[i]!.logits).toEqual(expected.slice(i * 10, (i + 1) * 10));
      const alone = await classifier.classify(image);
      expect(alone.logits).toEqual(Float32Array.from(await direct(i, i + 1)));
      alone.logits.forEach((value, k) => {
        expect(Math.abs(value - together[i]!.logits[k]!)).toBeLessThan(1e-5);
      });
    }
  });
});
