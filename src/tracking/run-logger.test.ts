import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { PipelineError } from "../base/errors.ts";
import type { TrainEvent } from "../training/events.ts";
import { openArtifactStore } from "./artifacts.ts";
import { readRunEnvironment } from "./run-environment.ts";
import { RunLogger, type RunLoggerOptions } from "./run-logger.ts";
import { storeTarget } from "./run-target.ts";
import { openSqlStore } from "./sql/store.ts";
import type { TrackingStore } from "./store.ts";

const folder = mkdtempSync(join(tmpdir(), "cifar-run-logger-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const artifacts = openArtifactStore({ root: join(folder, "artifacts") });
const environment = { user: "ada", host: "engine", sourceName: "cifar train", gitCommit: "a".repeat(40) };
const validation = {
  loss: 0.5,
  accuracy: 0.8,
  macroPrecision: 0.81,
  macroRecall: 0.79,
  macroF1: 0.795,
  perClass: [],
  confusion: [[1]],
};

const start: TrainEvent = {
  type: "start",
  model: "resnet9",
  device: "cpu",
  epochs: 1,
  stepsPerEpoch: 25,
  parameterCount: 6_600_000,
  flopsPerImage: 2.3e9,
  resumedFromStep: 0,
};
const step = (globalStep: number): TrainEvent => ({
  type: "step",
  epoch: 1,
  step: globalStep,
  globalStep,
  loss: 1 / globalStep,
  accuracy: 0.1,
  learningRate: 0.2,
  gradientNorm: 1,
  imagesPerSecond: 100,
});
const epoch: TrainEvent = {
  type: "epoch",
  epoch: 1,
  globalStep: 25,
  trainLoss: 1,
  trainAccuracy: 0.7,
  validation,
  seconds: 10,
  imagesPerSecond: 120,
  isBest: true,
};
const stop = (reason: Extract<TrainEvent, { type: "stop" }>["reason"]): TrainEvent => ({
  type: "stop",
  reason,
  globalStep: 25,
  epoch: 1,
});

let store: TrackingStore;
beforeEach(async () => {
  store = await openSqlStore({ path: ":memory:" });
});
afterEach(() => store.close());

function logger(options: Partial<RunLoggerOptions> = {}): RunLogger {
  return new RunLogger({
    target: storeTarget({ store, artifacts }),
    experimentName: "exp",
    runName: "first",
    environment,
    ...options,
  });
}

/** The store with some methods replaced. */
const withMethods = (methods: Partial<TrackingStore>): TrackingStore => ({ ...store, ...methods });
const down = () => Promise.reject(new PipelineError("TRACKING_STORE_FAILED", "disk full"));

describe("RunLogger", () => {
  it("records params, tags, metrics, artifacts and the end of a training", async () => {
    const params = Object.fromEntries(Array.from({ length: 230 }, (_, i) => [`section.key${i}`, String(i)]));
    const log = logger({ params, tags: { dataset: "synthetic" } });
    log.logArtifact("config.yaml", { data: "training: {}\n" });
    log.onEvent(start);
    for (let i = 1; i <= 25; i++) log.onEvent(step(i));
    log.onEvent(epoch);
    log.onEvent({ type: "checkpoint", path: "checkpoints/last", globalStep: 25 });
    log.onEvent(stop("completed"));
    const summary = await log.finish();
    expect(summary).toEqual({ runId: log.runId, failures: 0, lost: 0, isEndTold: true });

    const { info, data } = await store.getRun(log.runId!);
    expect(info).toMatchObject({ status: "FINISHED", runName: "first", userId: "ada" });
    expect(await store.getExperimentByName("exp")).toMatchObject({ experimentId: info.experimentId });
    expect(Object.fromEntries(data.params.map(({ key, value }) => [key, value]))).toEqual(params);
    expect(Object.fromEntries(data.tags.map(({ key, value }) => [key, value]))).toEqual({
      "mlflow.user": "ada",
      "mlflow.source.name": "cifar train",
      "mlflow.source.type": "LOCAL",
      "mlflow.source.git.commit": "a".repeat(40),
      "mlflow.runName": "first",
      host: "engine",
      dataset: "synthetic",
      "training.model": "resnet9",
      "training.device": "cpu",
      "training.steps_per_epoch": "25",
      "training.parameter_count": "6600000",
      "training.flops_per_image": "2300000000",
      "training.best_epoch": "1",
      "training.checkpoint": "checkpoints/last",
      "training.stop_reason": "completed",
    });
    const latest = Object.fromEntries(data.metrics.map(({ key, value }) => [key, value]));
    expect(latest).toMatchObject({ train_loss: 1, val_accuracy: 0.8, val_f1: 0.795, images_per_second: 120 });
    expect((await store.getMetricHistory(log.runId!, "step_loss")).items.map((point) => point.step)).toEqual([
      1, 10, 20,
    ]);
    expect((await store.getMetricHistory(log.runId!, "val_loss")).items.map((point) => point.step)).toEqual([1]);
    const saved = Buffer.from(await artifacts.read(info.artifactUri, "validation.json")).toString();
    expect(JSON.parse(saved)).toMatchObject({ epoch: 1, accuracy: 0.8, confusion: [[1]] });
    expect((await artifacts.list(info.artifactUri)).map(({ path }) => path)).toEqual([
      "config.yaml",
      "validation.json",
    ]);
  });

  it.each([
    ["early-stopping", "FINISHED"],
    ["aborted", "KILLED"],
    ["not-a-number", "FAILED"],
    [undefined, "FAILED"],
  ] as const)("ends a run that stopped with %s as %s", async (reason, status) => {
    const log = logger();
    if (reason !== undefined) log.onEvent(stop(reason));
    const { runId } = await log.finish();
    expect((await store.getRun(runId!)).info.status).toBe(status);
    expect(await log.finish("FINISHED")).toMatchObject({ runId });
    expect((await store.getRun(runId!)).info.status).toBe(status);
  });

  it("never throws, reports a failing store once and counts what is lost", async () => {
    const problems: unknown[] = [];
    const broken = withMethods({ getExperimentByName: down, createRun: down, logBatch: down });
    const log = logger({
      target: storeTarget({ store: broken, artifacts }),
      onProblem: (error) => {
        problems.push(error);
        throw new Error("the listener fails too");
      },
    });
    log.onEvent(start);
    log.onEvent(epoch);
    await log.flush();
    const summary = await log.finish();
    expect(problems).toHaveLength(1);
    expect(summary.runId).toBeUndefined();
    expect(summary.failures).toBeGreaterThanOrEqual(3);
    expect(summary.lost).toBeGreaterThan(15);
  });

  it("keeps data while the store is down and writes them when it is back", async () => {
    let isDown = true;
    const flaky = withMethods({
      logBatch: (runId, batch) => (isDown ? down() : store.logBatch(runId, batch)),
    });
    const log = logger({ target: storeTarget({ store: flaky, artifacts }), params: { a: "1" } });
    log.onEvent(start);
    log.onEvent(epoch);
    await log.flush();
    isDown = false;
    log.onEvent(stop("completed"));
    const summary = await log.finish();
    expect(summary.lost).toBe(0);
    expect(summary.failures).toBeGreaterThan(0);
    const { data } = await store.getRun(summary.runId!);
    expect(data.params).toEqual([{ key: "a", value: "1" }]);
    expect(data.metrics.map(({ key }) => key)).toContain("val_accuracy");
  });

  it("gives up data that the store refuses, and goes on with the rest", async () => {
    const problems: unknown[] = [];
    const log = logger({ onProblem: (error) => problems.push(error) });
    log.logArtifact("../outside", { data: "x" });
    log.logArtifact("missing", { file: join(folder, "nothing here") });
    log.logArtifact("fine", { data: "x" });
    log.logMetrics({ good: 1 }, 1);
    log.onEvent(stop("completed"));
    const summary = await log.finish();
    expect(summary).toMatchObject({ failures: 2, lost: 2 });
    expect(problems).toHaveLength(1);
    const { info, data } = await store.getRun(summary.runId!);
    expect(info.status).toBe("FINISHED");
    expect(data.metrics.map(({ key }) => key)).toEqual(["good"]);
    expect((await artifacts.list(info.artifactUri)).map(({ path }) => path)).toEqual(["fine"]);
  });

  it("goes on with a run: params stay, changed ones become tags", async () => {
    const first = logger({ params: { a: "1", b: "2" } });
    first.onEvent(stop("aborted"));
    const { runId } = await first.finish();
    const second = logger({ resumeRunId: runId!, params: { a: "1", b: "3", c: "4" } });
    second.onEvent({ ...start, resumedFromStep: 12 });
    await second.flush();
    expect((await store.getRun(runId!)).info).toMatchObject({ status: "RUNNING", endTime: undefined });
    second.onEvent(stop("completed"));
    expect(await second.finish()).toEqual({ runId, failures: 0, lost: 0, isEndTold: true });
    const { info, data } = await store.getRun(runId!);
    expect(info.status).toBe("FINISHED");
    expect(data.params.map(({ key, value }) => `${key}=${value}`)).toEqual(["a=1", "b=2", "c=4"]);
    expect(data.tags).toContainEqual({ key: "resumed.b", value: "3" });
    expect(data.tags).toContainEqual({ key: "training.resumed_from_step", value: "12" });
  });

  it("has each step of a metric once, however often a resumed run or a restarted process does it again", async () => {
    const first = logger({});
    for (const step of [1, 2, 3, 2, 3, 4]) first.logMetrics({ loss: step }, step);
    const { runId } = await first.finish("KILLED");
    const second = logger({ resumeRunId: runId! });
    for (const step of [3, 4, 5, 6]) second.logMetrics({ loss: step, fresh: step }, step);
    await second.finish("FINISHED");
    const stepsOf = async (key: string) => (await store.getMetricHistory(runId!, key)).items.map(({ step }) => step);
    expect(await stepsOf("loss")).toEqual([1, 2, 3, 4, 5, 6]);
    expect(await stepsOf("fresh")).toEqual([3, 4, 5, 6]);
  });

  it("cuts values that are too long and bounds what it holds back", async () => {
    const log = logger({ params: { long: "x".repeat(10_000) } });
    await log.flush();
    expect((await store.getRun(log.runId!)).data.params[0]?.value).toHaveLength(6000);
    const broken = logger({ target: storeTarget({ store: withMethods({ createRun: down }), artifacts }) });
    for (let i = 0; i < 60_000; i++) broken.logMetrics({ m: i }, i);
    expect((await broken.finish()).lost).toBeGreaterThanOrEqual(60_000);
  });

  it("writes at the interval, not at every step", async () => {
    let time = 0;
    let batches = 0;
    const counting = withMethods({
      logBatch: (runId, batch) => {
        batches += 1;
        return store.logBatch(runId, batch);
      },
    });
    const log = logger({
      target: storeTarget({ store: counting, artifacts }),
      now: () => time,
      flushIntervalMs: 1000,
      stepInterval: 1,
    });
    for (let i = 1; i <= 50; i++) {
      time = i * 50;
      log.onEvent(step(i));
    }
    await log.flush();
    expect(batches).toBeLessThanOrEqual(4);
    expect((await store.getMetricHistory(log.runId!, "step_loss")).items).toHaveLength(50);
  });
});

describe("readRunEnvironment", () => {
  it("knows user and host, and no commit outside a repository", async () => {
    const found = await readRunEnvironment({ sourceName: "cifar train", cwd: folder });
    expect(found.user).not.toBe("");
    expect(found.host).not.toBe("");
    expect(found.gitCommit).toBeUndefined();
  });
});
