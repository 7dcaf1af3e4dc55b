import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { createSyntheticDataset } from "../../src/data/synthetic.ts";
import { readBundle } from "../../src/inference/bundle.ts";
import { openSqlStore } from "../../src/tracking/sql/store.ts";
import { cifar } from "./in-process.ts";
import { type CliResult, eventsOf, runCli, startCli } from "./run-cli.ts";

// Everything through the real program and the ONNX executor, on a small part of the synthetic images.
const small = [
  ...["dataset.source=synthetic", "dataset.limit=400", "model.name=airbench", "model.width=0.125"],
  ...["model.airbench.whitening_samples=200", "training.batch_size=16", "training.num_epochs=2"],
  ...["training.learning_rate=0.1", "training.lookahead=true", "training.ema_decay=0.9"],
  ...["training.checkpoint_every_steps=4", "training.seed=7", "evaluation.batch_size=100"],
].flatMap((setting) => ["--set", setting]);

// Processes of their own, on machines that may be busy.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

let root: string;
let whole: string;
let uninterrupted: CliResult;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "cli-pipeline-"));
  whole = await workspace("whole");
  uninterrupted = await runCli(["train", ...small, "--set", "evaluation.tta=mirror", "--json"], { cwd: whole });
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function workspace(name: string): Promise<string> {
  const folder = join(root, name);
  await mkdir(folder);
  return folder;
}

async function onlyBundle(cwd: string) {
  const models = join(cwd, "checkpoints", "models");
  const names = await readdir(models);
  expect(names).toHaveLength(1);
  return readBundle(join(models, names[0]!));
}

async function lastCheckpoint(cwd: string): Promise<Buffer> {
  const [run] = await readdir(join(cwd, "checkpoints", "runs"));
  return readFile(join(cwd, "checkpoints", "runs", run!, "last.safetensors"));
}

/** Trains until `atStep`, then sends the signal. */
async function interruptedTraining(cwd: string, atStep: number, signal: NodeJS.Signals): Promise<CliResult> {
  let sent = false;
  return startCli(["train", ...small, "--json"], {
    cwd,
    onLine(line, child) {
      if (sent || JSON.parse(line).globalStep !== atStep) return;
      sent = true;
      child.kill(signal);
    },
  }).ended;
}

describe("cifar train", () => {
  it("writes one JSON line for each event, from the run to the result", () => {
    expect(uninterrupted.code, uninterrupted.stderr).toBe(0);
    const events = eventsOf(uninterrupted.stdout);
    const types = events.map(({ type }) => type);
    expect([...new Set(types)]).toEqual([
      ...["run", "dataset", "start", "step", "checkpoint", "epoch", "stop", "evaluation", "bundle", "result"],
    ]);
    expect(types.filter((type) => type === "step")).toHaveLength(2 * 22);
    expect(types.filter((type) => type === "epoch")).toHaveLength(2);
    expect(events.find(({ type }) => type === "dataset")).toMatchObject({ synthetic: true, trainImages: 360 });
    expect(events.at(-1)).toMatchObject({ type: "result", reason: "completed", globalStep: 44, synthetic: true });
  });

  it("writes a bundle that says all about its making", async () => {
    const { metadata } = await onlyBundle(whole);
    const evaluation = eventsOf(uninterrupted.stdout).find(({ type }) => type === "evaluation") as never as {
      metrics: { accuracy: number; loss: number; macroF1: number };
      withTta: { metrics: { accuracy: number } };
    };
    const { accuracy, loss, macroF1 } = evaluation.metrics;
    expect(metadata).toMatchObject({
      model: { architecture: "airbench" },
      dataset: { name: "synthetic", synthetic: true },
      metrics: { test: { accuracy, loss, macroF1, accuracyWithTta: evaluation.withTta.metrics.accuracy } },
      reference: { count: 40 },
      training: { seed: 7, epochs: 2, config: { model: { width: 0.125 } } },
    });
    expect(metadata.name).toMatch(/^airbench_trainer_\d{8}-\d{6}$/);
    expect(metadata.calibration.temperature).not.toBe(1);
    // It has learnt something: chance is a tenth.
    expect(accuracy).toBeGreaterThan(0.13);
  });

  it("records the run in the tracking store", async () => {
    const { metadata } = await onlyBundle(whole);
    await using store = await openSqlStore({ path: join(whole, "runs", "tracking.sqlite") });
    const { info, data } = await store.getRun(metadata.training.runId!);
    expect(info.status).toBe("FINISHED");
    const values = new Map(data.metrics.map(({ key, value }) => [key, value]));
    expect(values.get("test_accuracy")).toBe(metadata.metrics.test!.accuracy);
    expect(values.has("val_accuracy")).toBe(true);
    expect(data.params).toContainEqual({ key: "training.batch_size", value: "16" });
    expect(data.tags).toContainEqual({ key: "dataset.synthetic", value: "true" });
    const artifacts = join(
      whole,
      "runs",
      "artifacts",
      ...info.artifactUri.slice("mlflow-artifacts:/".length).split("/"),
    );
    expect((await readdir(artifacts)).sort()).toEqual(
      [
        ...["config.yaml", "confusion_matrix.json", "confusion_matrix.png", "curves"],
        ...["metrics.json", "model", "validation.json"],
      ].sort(),
    );
    expect((await readdir(join(artifacts, "model"))).sort()).toEqual([
      "MLmodel",
      "conda.yaml",
      "input_example.json",
      "metadata.json",
      "model.onnx",
      "python_env.yaml",
      "requirements.txt",
      "sample.safetensors",
      "serving_input_example.json",
      "weights.safetensors",
    ]);
  });

  it("takes a folder of images, warns of what is too small, and records its pictures", async () => {
    const cwd = await mkdtemp(join(root, "folder-"));
    for (const [index, name] of ["day", "night", "dusk"].entries()) {
      for (const part of index === 2 ? ["train"] : ["train", "test"]) {
        await mkdir(join(cwd, "images", part, name), { recursive: true });
        for (let i = 0; i < (part === "test" ? 2 : 14); i++) {
          const background = { r: 90 * index + i, g: 8 * i, b: 200 - 5 * i };
          await sharp({ create: { width: 40, height: 30, channels: 3, background } })
            .png()
            .toFile(join(cwd, "images", part, name, `${i}.png`));
        }
      }
    }
    const settings = [
      ...["dataset.name=folder", "dataset.source=images", "model.name=resnet9", "model.width=0.125"],
      ...["training.num_epochs=1", "training.batch_size=8", "training.early_stopping=true"],
    ].flatMap((setting) => ["--set", setting]);
    const { code, stderr } = await runCli(["train", ...settings], { cwd });
    expect(code, stderr).toBe(0);
    expect(stderr).toMatch(/1 of 3 classes have no test image \(dusk\)/);
    expect(stderr).toMatch(/4 validation images are too few to calibrate confidences/);
    expect((await onlyBundle(cwd)).metadata).toMatchObject({
      calibration: { temperature: 1 },
      dataset: { name: "folder" },
    });
  });

  it("killed at any moment and resumed ends in the same bits as without", async () => {
    const cwd = await workspace("killed");
    const killed = await interruptedTraining(cwd, 27, "SIGKILL");
    expect(killed.code).toBeNull();
    expect(eventsOf(killed.stdout).some(({ type }) => type === "result")).toBe(false);
    const resumed = await runCli(["train", "--resume", "last", "--json"], { cwd });
    expect(resumed.code, resumed.stderr).toBe(0);
    const events = eventsOf(resumed.stdout);
    const { resumedFromStep } = events.find(({ type }) => type === "start") as never as { resumedFromStep: number };
    expect(resumedFromStep).toBeGreaterThanOrEqual(22);
    expect(resumedFromStep).toBeLessThan(44);
    const [again, first] = [await onlyBundle(cwd), await onlyBundle(whole)];
    expect(again.metadata.modelSha256).toBe(first.metadata.modelSha256);
    expect(again.metadata.calibration).toEqual(first.metadata.calibration);
    expect(again.metadata.metrics.validation).toEqual(first.metadata.metrics.validation);
    const [runId, resumedId] = [killed, resumed].map(({ stdout }) => eventsOf(stdout)[0]!.trackingRunId);
    expect(resumedId).toBe(runId);
    // Replayed steps are recorded once.
    await using store = await openSqlStore({ path: join(cwd, "runs", "tracking.sqlite") });
    const { items } = await store.getMetricHistory(runId as string, "step_loss");
    const steps = items.map(({ step }) => step);
    expect(steps).toEqual([...new Set(steps)]);
    expect(steps).toEqual([1, 10, 20, 30, 40]);
  });

  it("stopped by Ctrl-C saves, tells how to go on, refuses other settings and ends in the same bits", async () => {
    const cwd = await workspace("stopped");
    const stopped = await interruptedTraining(cwd, 10, "SIGINT");
    expect(stopped.code).toBe(130);
    const result = eventsOf(stopped.stdout).at(-1) as never as { reason: string; globalStep: number; runId: string };
    expect(result).toMatchObject({ type: "result", reason: "aborted" });
    expect(result.globalStep).toBeLessThan(44);
    expect(stopped.stderr).toContain(`train --resume ${result.runId}`);

    const again = ["train", "--resume", "last", "--set", `training.checkpoint_dir=${join(cwd, "checkpoints")}`];
    const changed = await cifar(...again, "--set", "training.learning_rate=0.2");
    expect(changed.code).toBe(2);
    expect(changed.err).toContain("training.learning_rate: was 0.1, is 0.2");

    const resumed = await runCli(["train", "--resume", result.runId, "--json"], { cwd });
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(eventsOf(resumed.stdout).find(({ type }) => type === "start")).toMatchObject({
      resumedFromStep: result.globalStep,
    });
    expect((await onlyBundle(cwd)).metadata.modelSha256).toBe((await onlyBundle(whole)).metadata.modelSha256);
    const state = (file: Buffer): Buffer => file.subarray(8 + Number(file.readBigUInt64LE(0)));
    expect(state(await lastCheckpoint(cwd)).equals(state(await lastCheckpoint(whole)))).toBe(true);

    const finished = await cifar(...again);
    expect(finished.code).toBe(2);
    expect(finished.err).toContain("is finished");
  });
});

describe("cifar evaluate", () => {
  it("finds the very metrics that the training found", async () => {
    const { metadata, directory } = await onlyBundle(whole);
    const test = await cifar("evaluate", "--model", directory, "--form", "portable", "--tta", "--json");
    expect(test.code, test.err).toBe(0);
    const { accuracy, loss, macroF1, accuracyWithTta } = metadata.metrics.test!;
    expect(JSON.parse(test.out)).toMatchObject({
      model: metadata.name,
      synthetic: true,
      sameData: true,
      images: 1000,
      metrics: { accuracy, loss, macroF1 },
      withTta: { tta: "mirror", metrics: { accuracy: accuracyWithTta } },
    });
    const validation = await cifar("evaluate", "--model", directory, "--form", "portable", "--split", "val");
    expect(validation.out).toContain("SYNTHETIC");
    const shown = (100 * metadata.metrics.validation!.accuracy).toFixed(2);
    expect(validation.out).toContain(`validation accuracy ${shown} %  [SYNTHETIC] on 40 images`);
  });
});

describe("cifar predict and cifar serve", () => {
  it("give the same bits for the same image", async () => {
    const { test, classes, height, width } = createSyntheticDataset({ trainCount: 0, testCount: 3 });
    const plane = height * width;
    const files = await Promise.all(
      [0, 1, 2].map(async (n) => {
        const pixels = new Uint8Array(3 * plane).map(
          (_, i) => test.images[(3 * n + (i % 3)) * plane + Math.floor(i / 3)]!,
        );
        const file = join(whole, `image-${n}.png`);
        await sharp(pixels, { raw: { width, height, channels: 3 } }).toFile(file);
        return file;
      }),
    );
    const { directory } = await onlyBundle(whole);
    const predicted = await cifar("predict", ...files, join(whole, "missing.png"), "--model", directory, "--json");
    expect(predicted.code).toBe(1);
    const { predictions, synthetic_data } = JSON.parse(predicted.out);
    expect(synthetic_data).toBe(true);

    const large = join(whole, "large.png");
    await sharp({ create: { width: 2000, height: 1800, channels: 3, background: "#336699" } })
      .png({ compressionLevel: 0 })
      .toFile(large);
    expect((await cifar("predict", large, "--model", directory)).err).toContain("raise serving.max_upload_bytes");
    const raised = ["--set", "serving.max_upload_bytes=20000000"];
    expect((await cifar("predict", large, "--model", directory, ...raised)).code).toBe(0);
    expect(predictions[3]).toMatchObject({ error: { code: "INVALID_ARGUMENT" } });

    const { child, ended } = startCli(["serve", "--port", "0"], { cwd: whole });
    const url = await new Promise<string>((resolve, reject) => {
      child.stderr!.on("data", (chunk: Buffer) => {
        const [, found] = / at (http:\S+) /.exec(chunk.toString()) ?? [];
        if (found !== undefined) resolve(found);
      });
      child.once("close", () => reject(new Error("the server ended early")));
    });
    for (const [n, file] of files.entries()) {
      const form = new FormData();
      form.append("file", new Blob([new Uint8Array(await readFile(file))]), "image.png");
      const answer = await (await fetch(`${url}/predict`, { method: "POST", body: form })).json();
      const { predicted_class, predicted_label, confidence, all_probabilities } = predictions[n];
      expect(answer).toMatchObject({ predicted_class, predicted_label, confidence, all_probabilities });
      expect(Object.keys(all_probabilities)).toEqual([...classes]);
    }
    child.kill("SIGTERM");
    expect((await ended).code).toBe(0);
  });
});

describe("cifar up", () => {
  it("offline and without images trains on synthetic ones, says so and serves; the second start serves at once", async () => {
    const cwd = await workspace("up");
    const tiny = ["training.num_epochs=1", "training.warmup_epochs=0", "model.width=0.125", "training.fast_dev=true"];
    const args = ["up", "--offline", "--port", "0", ...tiny.flatMap((setting) => ["--set", setting])];
    const start = async () => {
      const { child, ended } = startCli(args, {
        cwd,
        onLine: (line) => {
          if (line === "Ctrl-C stops") child.kill("SIGINT");
        },
      });
      return ended;
    };
    const first = await start();
    expect(first.code, first.stderr).toBe(0);
    expect(first.stdout).toContain("USING SYNTHETIC data");
    expect(first.stdout).toMatch(/serving airbench_trainer_\S+, test accuracy .* \[SYNTHETIC\]/);
    expect(first.stdout).toMatch(/upload page {4}http:\/\/127\.0\.0\.1:\d+\//);
    const second = await start();
    expect(second.code, second.stderr).toBe(0);
    expect(second.stdout).not.toContain("training");
    expect(second.stdout).toContain("serving airbench_trainer_");
  });
});
