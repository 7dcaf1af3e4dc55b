import { randomBytes } from "node:crypto";
import type { FastifyInstance } from "fastify";
import { describe, expect, it, onTestFinished } from "vitest";
import { Classifier } from "../../src/inference/classifier.ts";
import type { Predictor } from "../../src/inference/predictor.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { createServiceMetrics } from "../../src/observability/metrics.ts";
import { createSystemMonitor } from "../../src/observability/system.ts";
import { createApp } from "../../src/serving/app.ts";
import { inferResponseSchema } from "../../src/serving/v2/schemas.ts";
import { type Tensor, tensor } from "../../src/tensor/tensor.ts";
import { formBody, formType, imagePart } from "./client.ts";
import { repositoryOf } from "./repository.ts";
import { tinyMetadata } from "./tiny-bundle.ts";

const metadata = { ...tinyMetadata(), modelSha256: "0".repeat(64) };
const pixelsOfImage = 3 * 32 * 32;
const path = "/v2/models/tiny_trainer/infer";

/** A predictor whose logits are the first ten bytes of an image, or what `logitsOf` makes of them. */
function firstBytes(logitsOf: (bytes: readonly number[]) => readonly number[] = (bytes) => bytes): Predictor {
  return {
    readiness: "ready",
    formOf: () => "portable",
    predict: async (images) => {
      const rows = rowsOf(images).flatMap((row) => logitsOf([...row.subarray(0, 10)]));
      return tensor("float32", [images.shape[0]!, 10], Float32Array.from(rows));
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

function rowsOf(images: Tensor<"uint8">): Uint8Array[] {
  return Array.from({ length: images.shape[0]! }, (_, n) =>
    images.data.subarray(n * pixelsOfImage, (n + 1) * pixelsOfImage),
  );
}

async function appWith(predictor: Predictor, { maxBatchSize = 32, maxDelayMs = 0 } = {}): Promise<FastifyInstance> {
  const system = createSystemMonitor();
  const classifier = new Classifier({ predictor, metadata, maxBatchSize, maxDelayMs, window: "fixed" });
  const app = await createApp({
    models: repositoryOf({ bundle: { directory: "/none", metadata }, classifier }),
    metrics: createServiceMetrics({ system }),
    system,
    logger: createLogger({ level: "silent" }),
    version: "1.2.3",
  });
  onTestFinished(() => app.close());
  return app;
}

const post = (app: FastifyInstance, payload: object, headers: Record<string, string> = {}) =>
  app.inject({ method: "POST", url: path, payload, headers });
const input = (shape: readonly number[], data: unknown, datatype = "UINT8") => ({
  inputs: [{ name: "images", shape, datatype, data }],
});
/** An image whose every value is `value`, flat. */
const filled = (value: number) => new Array<number>(pixelsOfImage).fill(value);
/** Flat values as the nested arrays of a shape. */
const nest = (flat: readonly number[], [size = 1, ...inner]: readonly number[]): unknown =>
  inner.length === 0
    ? flat
    : Array.from({ length: size }, (_, i) =>
        nest(flat.slice((i * flat.length) / size, ((i + 1) * flat.length) / size), inner),
      );

describe("shapes and data of the Open Inference Protocol", () => {
  it.each<[string, object]>([
    ["a negative dimension", input([-1, 3, 32, 32], filled(1))],
    ["a negative dimension among few", input([-1, 16], filled(1))],
    ["a fraction", input([1.5, 3, 32, 32], filled(1))],
    ["no dimension", input([], filled(1))],
    ["a product that is not the number of values", input([2, 3, 32, 32], filled(1))],
    ["a product above every memory", input([2 ** 40, 3, 32, 32], filled(1))],
    ["a dimension that no integer holds", input([1e300, 3, 32, 32], filled(1))],
    ["the right product of other dimensions", input([1, 32, 32, 3], filled(1))],
    ["one dimension of the right length", input([pixelsOfImage], filled(1))],
    ["more values than the shape has", input([1, 3, 32, 32], [...filled(1), 1])],
    ["nesting of another shape", input([1, 3, 32, 32], nest(filled(1), [1, 32, 32, 3]))],
    ["nesting that stops half-way", input([1, 3, 32, 32], nest(filled(1), [1, pixelsOfImage]))],
    ["ragged nesting", input([1, 3, 32, 32], [[[filled(1).slice(0, 1024)], [], [filled(1).slice(0, 2048)]]])],
    ["flat values before nested ones", input([1, 3, 32, 32], [...filled(1).slice(1), [1]])],
    ["nested ones before flat values", input([1, 3, 32, 32], [[1], ...filled(1).slice(1)])],
    ["null for a value", input([1, 3, 32, 32], [...filled(1).slice(1), null])],
    ["text for a value", input([1, 3, 32, 32], [...filled(1).slice(1), "1"])],
    ["files in another shape", input([1, 1], ["AAAA"], "BYTES")],
    ["nested files", input([1], [["AAAA"]], "BYTES")],
  ])("%s: 400, and the next request is answered", async (_name, body) => {
    const app = await appWith(firstBytes());
    const refused = await post(app, body);
    expect({ status: refused.statusCode, code: refused.json().code }).toEqual({ status: 400, code: "REQUEST_INVALID" });
    expect(refused.json().error).toBe(refused.json().message);
    expect((await post(app, input([1, 3, 32, 32], filled(1)))).statusCode).toBe(200);
  });

  it("flat, nested and binary data give the same answer", async () => {
    const app = await appWith(firstBytes());
    const shape = [2, 3, 32, 32];
    const bytes = Buffer.concat([randomBytes(pixelsOfImage), randomBytes(pixelsOfImage)]);
    const flat = [...bytes];
    const head = JSON.stringify({
      inputs: [{ name: "images", shape, datatype: "UINT8", parameters: { binary_data_size: bytes.length } }],
    });
    const answers = await Promise.all([
      post(app, input(shape, flat)),
      post(app, input(shape, nest(flat, shape))),
      post(app, Buffer.from(head + bytes.toString("latin1"), "latin1"), {
        "content-type": "application/octet-stream",
        "inference-header-content-length": String(head.length),
      }),
    ]);
    const [first, ...others] = answers.map((answer) => inferResponseSchema.parse(answer.json()).outputs);
    expect(first!.find(({ name }) => name === "logits")!.data).toEqual([
      ...flat.slice(0, 10),
      ...flat.slice(pixelsOfImage, pixelsOfImage + 10),
    ]);
    for (const other of others) expect(other).toEqual(first);
  });
});

describe("outputs of the Open Inference Protocol", () => {
  const ask = async (outputs: unknown) => {
    const app = await appWith(firstBytes());
    return post(app, { ...input([1, 3, 32, 32], filled(1)), outputs });
  };
  const names = async (outputs: unknown) =>
    inferResponseSchema.parse((await ask(outputs)).json()).outputs.map(({ name }) => name);

  it("are those that were asked for, in that order, and all where none is named", async () => {
    expect(await names([{ name: "labels" }])).toEqual(["labels"]);
    expect(await names([{ name: "logits" }, { name: "probabilities" }])).toEqual(["logits", "probabilities"]);
    for (const none of [undefined, []]) expect(await names(none)).toEqual(["probabilities", "logits", "labels"]);
  });

  it.each([
    ["an unknown one", [{ name: "masks" }]],
    ["an unknown one beside a known", [{ name: "labels" }, { name: "Logits" }]],
    ["a name of every object", [{ name: "__proto__" }]],
    ["one twice", [{ name: "labels" }, { name: "labels" }]],
  ])("%s: 400", async (_name, outputs) => {
    const refused = await ask(outputs);
    expect({ status: refused.statusCode, code: refused.json().code }).toEqual({ status: 400, code: "REQUEST_INVALID" });
  });
});

describe("a model whose numbers are not finite", () => {
  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    "%d in one image fails that request by the output's name, and no other of its batch",
    async (value) => {
      const predictor = firstBytes((bytes) => bytes.map((byte, k) => (byte === 9 && k === 4 ? value : byte)));
      const app = await appWith(predictor, { maxBatchSize: 2, maxDelayMs: 10_000 });
      const [bad, good] = await Promise.all([9, 1].map((byte) => post(app, input([1, 3, 32, 32], filled(byte)))));
      expect(good!.statusCode).toBe(200);
      expect(bad!.statusCode).toBe(500);
      expect(bad!.json()).toMatchObject({
        code: "OUTPUT_NOT_FINITE",
        error: expect.stringContaining(`the output "logits" is ${value} for class 4`),
      });
    },
  );

  it("fails /predict and binary outputs in the same way", async () => {
    const app = await appWith(firstBytes((bytes) => bytes.map(() => Number.NaN)));
    const binary = await post(app, { ...input([1, 3, 32, 32], filled(1)), parameters: { binary_data_output: true } });
    const bmp = Buffer.from("424d3a0000000000000036000000280000000100000001000000010018000000000004", "hex");
    const payload = formBody([imagePart(Buffer.concat([bmp, Buffer.alloc(58 - bmp.length, 1)]))]);
    const form = await app.inject({ method: "POST", url: "/predict", headers: { "content-type": formType }, payload });
    for (const response of [binary, form]) {
      expect({ status: response.statusCode, code: response.json().code }).toEqual({
        status: 500,
        code: "OUTPUT_NOT_FINITE",
      });
    }
  });
});

describe("requests of several images", () => {
  /** A predictor whose runs wait for their turn to be let go, and say which images they had. */
  function gated() {
    const runs: { readonly images: readonly number[]; readonly finish: () => void }[] = [];
    const predictor: Predictor = {
      readiness: "ready",
      formOf: () => "portable",
      predict: (images) =>
        new Promise((resolve) => {
          const first = rowsOf(images).map((row) => row[0]!);
          const logits = tensor("float32", [first.length, 10], new Float32Array(10 * first.length));
          runs.push({ images: first, finish: () => resolve(logits) });
        }),
      [Symbol.asyncDispose]: async () => undefined,
    };
    return { runs, predictor };
  }
  const twenty = (value: number) => input([20, 3, 32, 32], new Array(20 * pixelsOfImage).fill(value));

  it("never make a run of more images than the limit, and are served in the order in which they came", async () => {
    const { runs, predictor } = gated();
    const app = await appWith(predictor, { maxBatchSize: 32 });
    const order: number[] = [];
    const answers = [1, 2, 3].map(async (value) => {
      const { statusCode } = await post(app, twenty(value));
      order.push(value);
      return statusCode;
    });
    const seen: number[] = [];
    while (seen.length < 60) {
      await expect.poll(() => runs.length).toBe(1);
      const { images, finish } = runs.shift()!;
      expect(images.length).toBeLessThanOrEqual(32);
      seen.push(...images);
      finish();
    }
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(await Promise.all(answers)).toEqual([200, 200, 200]);
    expect(order).toEqual([1, 2, 3]);
  });

  it("with a deadline behind a long run fail by then, not when the run ends", async () => {
    const { runs, predictor } = gated();
    const app = await appWith(predictor);
    const long = post(app, twenty(1));
    await expect.poll(() => runs.length).toBe(1);
    const impatient = await post(app, twenty(2), { "x-timeout-ms": "200" });
    expect({ status: impatient.statusCode, code: impatient.json().code }).toEqual({
      status: 503,
      code: "DEADLINE_EXCEEDED",
    });
    runs[0]!.finish();
    // Its first image came alone; the other nineteen are the next run, without those that were given up.
    await expect.poll(() => runs.length).toBe(2);
    expect(runs[1]!.images).toEqual(new Array(19).fill(1));
    runs[1]!.finish();
    expect((await long).statusCode).toBe(200);
  });
});
