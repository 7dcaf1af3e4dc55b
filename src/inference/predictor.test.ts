import { describe, expect, it, onTestFinished } from "vitest";
import { tensor } from "../tensor/tensor.ts";
import { createWorkerPredictor, splitCores, type WorkerPredictorOptions } from "./predictor.ts";

/** A worker without a model: the first byte of the images says what to do. */
const fakeWorker = new URL(
  `data:text/javascript,${encodeURIComponent(`
    import { parentPort, workerData, threadId } from "node:worker_threads";
    if (workerData.files.portable === "unusable") parentPort.postMessage({ type: "unusable", message: "no such model" });
    else parentPort.postMessage({ type: "ready" });
    parentPort.on("message", ({ id, count, images }) => {
      switch (images[0]) {
        case 255: process.exit(3);
        case 254: throw new Error("worker broke");
        case 253: for (;;);
        case 251: console.error("careful"); break;
        case 252: return parentPort.postMessage({ type: "failed", id, message: "bad batch", stack: "Error: bad batch\\n at a line of the worker" });
      }
      const logits = new Float32Array(count * workerData.classCount).fill(images[0]);
      logits[1] = threadId;
      setTimeout(() => parentPort.postMessage({ type: "result", id, logits }, [logits.buffer]), images[1]);
    });
  `)}`,
);

const options: WorkerPredictorOptions = {
  modelPath: "fake",
  preprocessing: { height: 2, width: 2, resize: "bilinear", mean: [0, 0, 0], std: [1, 1, 1] },
  classCount: 4,
  workers: 1,
  restartDelayMs: 5,
  worker: fakeWorker,
};

const images = (command: number, delayMs = 0, count = 1) =>
  tensor(
    "uint8",
    [count, 3, 2, 2],
    Uint8Array.from({ length: count * 12 }, (_, i) => [command, delayMs][i] ?? 0),
  );

async function start(overrides: Partial<WorkerPredictorOptions> = {}) {
  const predictor = await createWorkerPredictor({ ...options, ...overrides });
  onTestFinished(() => predictor[Symbol.asyncDispose]());
  return predictor;
}

describe("createWorkerPredictor", () => {
  it("gives logits [N, classes] and leaves the images alone, also when they are a view", async () => {
    const predictor = await start();
    const large = new Uint8Array(1000).fill(9);
    const view = tensor("uint8", [1, 3, 2, 2], large.subarray(100, 112));
    const logits = await predictor.predict(view);
    expect([logits.shape, logits.data[0]]).toEqual([[1, 4], 9]);
    expect([view.data.length, large[500]]).toEqual([12, 9]);
  });

  it("spreads jobs over its workers", async () => {
    const predictor = await start({ workers: 2 });
    const results = await Promise.all([1, 2, 3, 4].map((value) => predictor.predict(images(value, 20))));
    expect(results.map(({ data }) => data[0])).toEqual([1, 2, 3, 4]);
    expect(new Set(results.map(({ data }) => data[1])).size).toBe(2);
  });

  it.each([
    [255, /exited with code 3/],
    [254, /worker broke/],
  ])("rejects the job of a worker that crashes (%i), restarts it and serves what waits", async (command, message) => {
    const crashes: unknown[] = [];
    const predictor = await start({ onCrash: (error, moment) => crashes.push([error.message, moment]) });
    const crashed = predictor.predict(images(command), { requestIds: ["a", "b"] });
    const waiting = predictor.predict(images(7));
    await expect(crashed).rejects.toMatchObject({ code: "INFERENCE_FAILED", message: expect.stringMatching(message) });
    expect((await waiting).data[0]).toBe(7);
    expect(crashes).toEqual([[expect.stringMatching(message), { worker: "inference-0", requestIds: ["a", "b"] }]]);
  });

  it("gives up a job that exceeds jobTimeoutMs and replaces its worker", async () => {
    const predictor = await start({ jobTimeoutMs: 200 });
    await expect(predictor.predict(images(253))).rejects.toThrow(/no answer within 200 ms/);
    expect((await predictor.predict(images(5))).data[0]).toBe(5);
  });

  it("passes a failed batch on without a restart", async () => {
    const crashes: Error[] = [];
    const predictor = await start({ onCrash: (error) => crashes.push(error) });
    await expect(predictor.predict(images(252))).rejects.toMatchObject({
      message: expect.stringContaining("bad batch"),
      cause: { stack: expect.stringContaining("at a line of the worker") },
    });
    expect(crashes).toEqual([]);
  });

  it("tells what a worker writes, and for which requests", async () => {
    const told: unknown[] = [];
    const predictor = await start({ onOutput: (text, moment) => told.push([text, moment]) });
    await predictor.predict(images(251), { requestIds: ["c"] });
    while (told.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(told).toEqual([["careful", { worker: "inference-0", requestIds: ["c"] }]]);
  });

  it("is down while every worker crash-loops, degraded while one of them does, and ready again after an answer", async () => {
    const predictor = await start({ workers: 2, restartDelayMs: 1 });
    expect(predictor.readiness).toBe("ready");
    const crash = () => expect(predictor.predict(images(255))).rejects.toMatchObject({ code: "INFERENCE_FAILED" });
    // The first worker alone takes jobs while the second is busy.
    const busy = predictor.predict(images(1, 250));
    for (let i = 0; i < 3; i++) await crash();
    expect(predictor.readiness).toBe("degraded");
    await busy;
    while (predictor.readiness !== "down") await crash();
    while (predictor.readiness === "down") await new Promise((resolve) => setTimeout(resolve, 5));
    expect(predictor.readiness).toBe("degraded");
    while (predictor.readiness !== "ready") {
      await Promise.all([1, 2, 3, 4].map((value) => predictor.predict(images(value, 20))));
    }
  });

  it("rejects when the model can't be used", async () => {
    await expect(start({ modelPath: "unusable" })).rejects.toMatchObject({
      code: "INFERENCE_UNAVAILABLE",
      message: expect.stringContaining("no such model"),
    });
  });

  it("drops a waiting job whose signal aborts", async () => {
    const predictor = await start();
    const abort = new AbortController();
    const first = predictor.predict(images(1, 30));
    const second = predictor.predict(images(255), { signal: abort.signal });
    abort.abort(new Error("gone"));
    await expect(second).rejects.toThrow("gone");
    expect((await first).data[0]).toBe(1);
    expect((await predictor.predict(images(2))).data[0]).toBe(2);
  });

  it("finishes its jobs when disposed, then refuses", async () => {
    const predictor = await start();
    const jobs = [1, 2, 3].map((value) => predictor.predict(images(value, 10)));
    const disposal = predictor[Symbol.asyncDispose]();
    await expect(predictor.predict(images(4))).rejects.toMatchObject({ code: "SHUTTING_DOWN" });
    expect((await Promise.all(jobs)).map(({ data }) => data[0])).toEqual([1, 2, 3]);
    await disposal;
  });

  it("refuses images of another size before they reach a worker", async () => {
    const predictor = await start();
    const wrong = tensor("uint8", [1, 3, 4, 1], new Uint8Array(12));
    await expect(predictor.predict(wrong)).rejects.toMatchObject({ code: "SHAPE_MISMATCH" });
  });
});

describe("splitCores", () => {
  it.each([
    [1, 1, 1],
    [2, 1, 2],
    [4, 2, 2],
    [6, 3, 2],
    [16, 4, 4],
  ])("splits %i cores into %i workers of %i threads", (cores, workers, threads) => {
    expect(splitCores(cores)).toEqual({ workers, threads });
  });
});
