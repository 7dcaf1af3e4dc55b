import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FastifyInstance, LightMyRequestResponse } from "fastify";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Bundle, listBundles } from "../../src/inference/bundle.ts";
import { Classifier } from "../../src/inference/classifier.ts";
import { ModelStatistics } from "../../src/inference/model-statistics.ts";
import { createWorkerPredictor, type Predictor } from "../../src/inference/predictor.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { createServiceMetrics } from "../../src/observability/metrics.ts";
import { createSystemMonitor } from "../../src/observability/system.ts";
import { createApp } from "../../src/serving/app.ts";
import { batchPredictionSchema, feedbackSchema, healthSchema, predictionSchema } from "../../src/serving/schemas.ts";
import { inferResponseSchema, modelMetadataSchema, statisticsSchema } from "../../src/serving/v2/schemas.ts";
import { formBody, formType, imagePart, predict } from "./client.ts";
import { repositoryOf } from "./repository.ts";
import { cifarClasses, writeTinyBundle } from "./tiny-bundle.ts";

let root: string;
let bundle: Bundle;
let predictor: Predictor;
let app: FastifyInstance;
let images: Buffer[];

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "predictions-"));
  bundle = await writeTinyBundle(root);
  const { metadata, modelPath } = bundle;
  const { preprocessing, classes } = metadata;
  predictor = await createWorkerPredictor({ modelPath, preprocessing, classCount: classes.length, workers: 1 });
  const system = createSystemMonitor();
  const statistics = new ModelStatistics();
  app = await createApp({
    models: repositoryOf({
      bundle,
      classifier: new Classifier({
        predictor,
        metadata,
        onRun: ({ images, seconds }) => statistics.observeBatch(images, seconds),
      }),
      statistics,
      list: () => listBundles(root, { check: "metadata" }),
    }),
    metrics: createServiceMetrics({ system }),
    system,
    logger: createLogger({ level: "silent" }),
    version: "1.2.3",
    limits: { maxUploadBytes: 100_000, maxImagesPerRequest: 4 },
  });
  const colours = ["#d02020", "#20d020", "#2020d0"];
  images = await Promise.all(
    colours.map((background) =>
      sharp({ create: { width: 32, height: 32, channels: 3, background } })
        .png()
        .toBuffer(),
    ),
  );
});
afterAll(async () => {
  await app?.close();
  await predictor?.[Symbol.asyncDispose]();
  await rm(root, { recursive: true, force: true });
});

const post = (url: string, payload: unknown, headers: Record<string, string> = {}) =>
  app.inject({ method: "POST", url, payload: payload as Buffer, headers });
const expectError = (response: LightMyRequestResponse, status: number, code: string): string => {
  expect({ status: response.statusCode, code: response.json().code }).toEqual({ status, code });
  return response.json().message;
};
/** The probabilities that the form upload of an image gets: what every other way must get too. */
const reference = async (image: Buffer) => predictionSchema.parse((await predict(app, [imagePart(image)])).json());

describe("POST /predict", () => {
  it("gives the same answer for a form, a raw body and JSON with base64 or a data URL", async () => {
    const expected = (await reference(images[0]!)).all_probabilities;
    const text = images[0]!.toString("base64");
    for (const response of [
      await post("/predict", images[0], { "content-type": "image/png" }),
      await post("/predict", images[0], { "content-type": "application/octet-stream" }),
      await post("/predict", { image: text }),
      await post("/predict", { image: text.replace(/=+$/, "") }),
      await post("/predict", { image: `data:image/png;base64,${text}` }),
    ]) {
      expect(response.statusCode, response.body).toBe(200);
      expect(predictionSchema.parse(response.json()).all_probabilities).toEqual(expected);
    }
  });

  it("lists the top k classes, most probable first", async () => {
    const { top_k: three, all_probabilities: all } = await reference(images[0]!);
    const sorted = Object.entries(all).sort((a, b) => b[1] - a[1]);
    expect(three.map(({ label }) => label)).toEqual(sorted.slice(0, 3).map(([name]) => name));
    const all11 = await post("/predict?top_k=11", images[0], { "content-type": "image/png" });
    expect(all11.json().top_k).toHaveLength(10);
    for (const bad of ["0", "-1", "1.5", "x", ""]) {
      const response = await post(`/predict?top_k=${bad}`, images[0], { "content-type": "image/png" });
      expectError(response, 400, "REQUEST_INVALID");
    }
  });

  it("answers by the model and version that are named", async () => {
    const ask = (query: string) => post(`/predict?${query}`, images[0], { "content-type": "image/png" });
    for (const query of [
      "model=tiny_trainer_20260101-000000",
      "model=tiny_trainer",
      "model=tiny_trainer&version=20260101-000000",
    ]) {
      expect((await ask(query)).json()).toMatchObject({
        model: "tiny_trainer_20260101-000000",
        model_version: "20260101-000000",
      });
    }
    expect(expectError(await ask("model=other"), 404, "MODEL_NOT_FOUND")).toContain("tiny_trainer_20260101-000000");
    expectError(await ask("model=tiny_trainer&version=2"), 404, "MODEL_NOT_FOUND");
    expectError(await ask("version=2"), 400, "REQUEST_INVALID");
  });

  it("tells where the time went, in the body and in Server-Timing", async () => {
    const response = await predict(app, [imagePart(images[0]!)]);
    const body = predictionSchema.parse(response.json());
    const parts = body.decode_time_seconds + body.queue_time_seconds + body.inference_time_seconds;
    expect(parts).toBeLessThanOrEqual(body.total_time_seconds);
    expect(response.headers["server-timing"]).toMatch(
      /^decode;dur=[\d.]+, queue;dur=[\d.]+, compute;dur=[\d.]+, total/,
    );
  });

  it.each(["!!!!", "AAA A", "A", "data:image/png,xyz", "AAAA====", "ÄÄÄÄ"])("refuses %j as base64", async (image) => {
    expect(expectError(await post("/predict", { image }), 400, "REQUEST_INVALID")).toContain("base64");
  });

  it("refuses other JSON, and images above the limit whatever they come in", async () => {
    for (const body of [[], {}, { image: 5 }, { image: "" }, { images: ["x"] }, { image: "AAAA", more: 1 }]) {
      expectError(await post("/predict", body), 400, "REQUEST_INVALID");
    }
    const large = Buffer.alloc(100_001, 1);
    expectError(await post("/predict", large, { "content-type": "image/jpeg" }), 413, "IMAGE_TOO_LARGE");
    expectError(await post("/predict", { image: large.toString("base64") }), 413, "IMAGE_TOO_LARGE");
  });

  it("takes a shorter time limit from the client", async () => {
    for (const bad of ["0", "-5", "soon", "1e3", "9999999999"]) {
      const response = await post("/predict", images[0], { "content-type": "image/png", "x-timeout-ms": bad });
      expect(expectError(response, 400, "REQUEST_INVALID")).toContain("x-timeout-ms");
    }
    const headers = { "content-type": "image/png", "x-timeout-ms": "5000" };
    expect((await post("/predict", images[0], headers)).statusCode).toBe(200);
  });
});

describe("POST /predict/batch", () => {
  it("answers in the order of the images, each with an id of its own for feedback", async () => {
    const expected = await Promise.all(images.map(reference));
    const form = await post("/predict/batch", formBody(images.map((image) => imagePart(image))), {
      "content-type": formType,
      "x-request-id": "batch-1",
    });
    const json = await post("/predict/batch", { images: images.map((image) => image.toString("base64")) });
    for (const response of [form, json]) {
      const body = batchPredictionSchema.strict().parse(response.json());
      expect(body.count).toBe(3);
      for (const [i, prediction] of body.predictions.entries()) {
        expect(prediction.predicted_label).toBe(expected[i]!.predicted_label);
        for (const name of cifarClasses) {
          const difference = prediction.all_probabilities[name]! - expected[i]!.all_probabilities[name]!;
          expect(Math.abs(difference)).toBeLessThan(1e-5);
        }
      }
    }
    const ids = batchPredictionSchema.parse(form.json()).predictions.map((prediction) => prediction.request_id);
    expect(ids).toEqual(["batch-1:0", "batch-1:1", "batch-1:2"]);
  });

  it("names the bad image and refuses the others with it", async () => {
    const parts = [imagePart(images[0]!), imagePart("no image"), imagePart(images[1]!)];
    const response = await post("/predict/batch", formBody(parts), { "content-type": formType });
    expect(expectError(response, 415, "IMAGE_UNSUPPORTED")).toMatch(/^image 1: /);
    const json = await post("/predict/batch", { images: [images[0]!.toString("base64"), "?"] });
    expect(expectError(json, 400, "REQUEST_INVALID")).toContain("image 1 is no base64");
  });

  it("refuses more bytes than allowed, though each file may be that large", async () => {
    const four = new Array(4).fill(Buffer.alloc(90_000));
    const response = await post("/predict/batch", formBody(four.map((file) => imagePart(file))), {
      "content-type": formType,
    });
    expect(expectError(response, 413, "REQUEST_TOO_LARGE")).toContain("bytes together");
  });

  it("takes a large image in base64", async () => {
    const pixels = Buffer.from(Uint8Array.from({ length: 3 * 170 * 170 }, (_, i) => (i * 7919) % 253));
    const file = await sharp(pixels, { raw: { width: 170, height: 170, channels: 3 } })
      .png({ compressionLevel: 0 })
      .toBuffer();
    expect(file.length).toBeGreaterThan(80_000);
    const { all_probabilities: expected } = await reference(file);
    const response = await post("/predict", { image: file.toString("base64") });
    expect(response.json().all_probabilities).toEqual(expected);
  });

  it("refuses more images than allowed", async () => {
    const five = new Array(5).fill(images[0]!);
    const form = await post("/predict/batch", formBody(five.map((image) => imagePart(image))), {
      "content-type": formType,
    });
    expect(expectError(form, 400, "REQUEST_INVALID")).toContain("more than 4 files");
    const json = await post("/predict/batch", { images: five.map((image: Buffer) => image.toString("base64")) });
    expect(expectError(json, 400, "REQUEST_INVALID")).toContain("5 images, the limit is 4");
    expectError(await post("/predict/batch", { images: [] }), 400, "REQUEST_INVALID");
  });
});

describe("POST /feedback", () => {
  const report = (body: object) => post("/feedback", body);

  it("gives the accuracy in service; a second report replaces the first", async () => {
    const predictions = await Promise.all(images.map(reference));
    const [first, second] = predictions as [(typeof predictions)[0], (typeof predictions)[0]];
    const wrong = cifarClasses.find((name) => name !== second.predicted_label)!;
    const right = await report({ request_id: first.request_id, true_label: first.predicted_label });
    expect(feedbackSchema.parse(right.json())).toMatchObject({ correct: true, live_accuracy: 1, feedback_count: 1 });
    const other = await report({ request_id: second.request_id, true_label: wrong });
    expect(other.json()).toMatchObject({ correct: false, live_accuracy: 0.5, feedback_count: 2 });
    const again = await report({ request_id: second.request_id, true_class: second.predicted_class });
    expect(again.json()).toMatchObject({ correct: true, live_accuracy: 1, feedback_count: 2 });
    expect(healthSchema.parse((await app.inject("/health")).json()).live_accuracy).toBe(1);
    const { body: metrics } = await app.inject("/metrics");
    expect(metrics).toMatch(/^model_feedback_total\{outcome="right"\} 2$/m);
    expect(metrics).toMatch(/^model_feedback_total\{outcome="wrong"\} 1$/m);
    expect(metrics).toMatch(/^model_live_accuracy_ratio 1$/m);
  });

  it("refuses unknown ids, unknown classes and both ways at once", async () => {
    expectError(await report({ request_id: "nothing", true_label: "cat" }), 404, "PREDICTION_NOT_FOUND");
    const { request_id } = await reference(images[0]!);
    expectError(await report({ request_id, true_label: "unicorn" }), 400, "REQUEST_INVALID");
    expectError(await report({ request_id, true_class: 10 }), 400, "REQUEST_INVALID");
    expectError(await report({ request_id }), 400, "REQUEST_INVALID");
    expectError(await report({ request_id, true_label: "cat", true_class: 3 }), 400, "REQUEST_INVALID");
  });
});

describe("the Open Inference Protocol", () => {
  const infer = (body: object, path = "/v2/models/tiny_trainer/infer") => post(path, body);
  const encoded = () => ({
    name: "images",
    datatype: "BYTES",
    shape: [images.length],
    data: images.map((image) => image.toString("base64")),
  });

  it("describes server and model", async () => {
    expect((await app.inject("/v2")).json()).toMatchObject({ name: "cifar-pipeline", version: "1.2.3" });
    expect((await app.inject("/v2/health/live")).json()).toEqual({ live: true });
    expect((await app.inject("/v2/health/ready")).json()).toEqual({ live: true, ready: true });
    for (const path of ["", "/versions/20260101-000000"]) {
      const response = await app.inject(`/v2/models/tiny_trainer${path}`);
      expect(modelMetadataSchema.strict().parse(response.json())).toEqual({
        name: "tiny_trainer",
        versions: ["20260101-000000"],
        platform: "onnxruntime_onnx",
        inputs: [{ name: "images", datatype: "UINT8", shape: [-1, 3, 32, 32] }],
        outputs: [
          { name: "probabilities", datatype: "FP32", shape: [-1, 10] },
          { name: "logits", datatype: "FP32", shape: [-1, 10] },
          { name: "labels", datatype: "BYTES", shape: [-1] },
        ],
      });
      expect((await app.inject(`/v2/models/tiny_trainer${path}/ready`)).json()).toMatchObject({ ready: true });
    }
    const missing = await app.inject("/v2/models/none");
    expectError(missing, 404, "MODEL_NOT_FOUND");
    expect(missing.json().error).toBe(missing.json().message);
  });

  it("infers from files and from pixels what /predict infers", async () => {
    const expected = await Promise.all(images.map(reference));
    const fromFiles = inferResponseSchema.strict().parse((await infer({ id: "42", inputs: [encoded()] })).json());
    expect(fromFiles).toMatchObject({ id: "42", model_name: "tiny_trainer", model_version: "20260101-000000" });
    const [probabilities, logits, labels] = fromFiles.outputs;
    expect(probabilities).toMatchObject({ name: "probabilities", datatype: "FP32", shape: [3, 10] });
    expect(logits).toMatchObject({ name: "logits", datatype: "FP32", shape: [3, 10] });
    expect(labels!.data).toEqual(expected.map(({ predicted_label: label }) => label));
    expected.forEach(({ all_probabilities: all }, n) => {
      cifarClasses.forEach((name, k) => {
        expect(Math.abs(Number(probabilities!.data![n * 10 + k]) - all[name]!)).toBeLessThan(1e-5);
      });
    });
    const pixels = images.map((_, n) => [0, 1, 2].map((c) => new Array(1024).fill(n === c ? 0xd0 : 0x20)));
    const rows = (plane: readonly number[]) => Array.from({ length: 32 }, (_, y) => plane.slice(32 * y, 32 * (y + 1)));
    const nested = {
      name: "images",
      datatype: "UINT8",
      shape: [3, 3, 32, 32],
      data: pixels.map((image) => image.map(rows)),
    };
    const flat = { ...nested, data: pixels.flat(2) };
    for (const input of [nested, flat]) {
      const body = inferResponseSchema.parse((await infer({ inputs: [input], outputs: [{ name: "labels" }] })).json());
      expect(body.outputs).toEqual([{ name: "labels", datatype: "BYTES", shape: [3], data: labels!.data }]);
    }
  });

  it("takes and gives binary tensor data", async () => {
    const pixels = Buffer.alloc(3 * 1024, 0x20).fill(0xd0, 0, 1024);
    const json = JSON.stringify({
      inputs: [
        {
          name: "images",
          datatype: "UINT8",
          shape: [1, 3, 32, 32],
          parameters: { binary_data_size: pixels.length },
        },
      ],
      outputs: [{ name: "logits", parameters: { binary_data: true } }, { name: "labels" }],
    });
    const headers = {
      "content-type": "application/octet-stream",
      "inference-header-content-length": String(Buffer.byteLength(json)),
    };
    const path = "/v2/models/tiny_trainer/infer";
    const response = await post(path, Buffer.concat([Buffer.from(json), pixels]), headers);
    expect(response.statusCode, response.body).toBe(200);
    const length = Number(response.headers["inference-header-content-length"]);
    const answer = inferResponseSchema.parse(JSON.parse(response.rawPayload.toString("utf8", 0, length)));
    expect(answer.outputs[0]).toEqual({
      name: "logits",
      datatype: "FP32",
      shape: [1, 10],
      parameters: { binary_data_size: 40 },
    });
    const plain = inferResponseSchema.parse((await infer({ inputs: [encoded()] })).json());
    const tail = response.rawPayload.subarray(length);
    expect(tail).toHaveLength(40);
    for (let k = 0; k < 10; k++) expect(tail.readFloatLE(4 * k)).toBeCloseTo(Number(plain.outputs[1]!.data![k]), 4);
    expectError(
      await post(path, pixels, { ...headers, "inference-header-content-length": "0" }),
      400,
      "REQUEST_INVALID",
    );
    expectError(await post(path, pixels, headers), 400, "REQUEST_INVALID");
    expectError(await post(path, Buffer.from(json), headers), 400, "REQUEST_INVALID");
    expectError(await post(path, images[0], { "content-type": "image/png" }), 400, "REQUEST_INVALID");
  });

  it.each([
    ["no input", { inputs: [] }],
    ["another input", { inputs: [{ name: "x", datatype: "UINT8", shape: [1], data: [1] }] }],
    ["another datatype", { inputs: [{ name: "images", datatype: "FP32", shape: [1, 3, 32, 32], data: [1] }] }],
    ["another shape", { inputs: [{ name: "images", datatype: "UINT8", shape: [1, 3, 8, 8], data: [1] }] }],
    ["too few values", { inputs: [{ name: "images", datatype: "UINT8", shape: [1, 3, 32, 32], data: [1] }] }],
    ["values of no byte", { inputs: [{ name: "images", datatype: "UINT8", shape: [1, 3, 32, 32], data: [256] }] }],
    ["too many images", { inputs: [{ name: "images", datatype: "BYTES", shape: [5], data: ["AAAA"] }] }],
    ["no images", { inputs: [{ name: "images", datatype: "BYTES", shape: [0], data: [] }] }],
    [
      "fewer files than the shape says",
      { inputs: [{ name: "images", datatype: "BYTES", shape: [2], data: ["AAAA"] }] },
    ],
    ["neither data nor binary data", { inputs: [{ name: "images", datatype: "BYTES", shape: [1] }] }],
    ["numbers for files", { inputs: [{ name: "images", datatype: "BYTES", shape: [1], data: [5] }] }],
  ])("refuses %s", async (_name, body) => {
    const response = await infer(body);
    expectError(response, 400, "REQUEST_INVALID");
    expect(response.json().error).toBe(response.json().message);
  });

  it("refuses unknown outputs and images that are none", async () => {
    expectError(await infer({ inputs: [encoded()], outputs: [{ name: "masks" }] }), 400, "REQUEST_INVALID");
    const text = { name: "images", datatype: "BYTES", shape: [1], data: [Buffer.from("no image").toString("base64")] };
    expectError(await infer({ inputs: [text] }), 415, "IMAGE_UNSUPPORTED");
  });

  it("counts requests, runs and times of a model", async () => {
    const stats = async () => {
      const response = await app.inject("/v2/models/tiny_trainer/stats");
      return statisticsSchema.strict().parse(response.json()).model_stats[0]!;
    };
    const before = await stats();
    await infer({ inputs: [encoded()] });
    const after = await stats();
    expect(after.inference_count - before.inference_count).toBe(3);
    expect(after.inference_stats.queue.count).toBe(after.inference_count);
    expect(after.inference_stats.compute_infer.ns).toBeGreaterThan(before.inference_stats.compute_infer.ns);
    const runs = after.batch_stats.reduce((sum, entry) => sum + entry.compute_infer.count, 0);
    expect(runs).toBe(after.execution_count);
    expect((await app.inject("/v2/models/stats")).json().model_stats).toEqual([after]);
  });
});

describe("routes of parts that are not there", () => {
  it("say so", async () => {
    for (const url of ["/alerts/config", "/alerts/test", "/logs/stats"]) {
      expectError(await app.inject(url), 501, "NOT_CONFIGURED");
    }
    expectError(await post("/alerts/recipients", ["a@example.com"]), 501, "NOT_CONFIGURED");
    expectError(await post("/alerts/thresholds", { cpu_threshold: 85 }), 501, "NOT_CONFIGURED");
    expectError(await post("/alerts/test", undefined), 501, "NOT_CONFIGURED");
  });
});
