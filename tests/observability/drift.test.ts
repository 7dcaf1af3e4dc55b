import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { loadInferenceModel } from "../../src/backends/onnx/inference-model.ts";
import { createRng, type Rng } from "../../src/base/rng.ts";
import { loadDataset } from "../../src/data/load.ts";
import { type Bundle, readBundle } from "../../src/inference/bundle.ts";
import { driftFeatures, imageStatistics, quantised } from "../../src/inference/drift-features.ts";
import { normalise } from "../../src/inference/preprocess.ts";
import { softmax, topK } from "../../src/inference/softmax.ts";
import { DriftMonitor, type DriftObservation } from "../../src/observability/drift/drift-monitor.ts";
import { floatData, tensor } from "../../src/tensor/tensor.ts";
import { runCli } from "../cli/run-cli.ts";

// With DRIFT_BUNDLE=FOLDER the figures of that bundle are measured, without it those of a network trained here.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 600_000 });

const source = process.env.CIFAR_SOURCE;
const title = source === undefined ? " (set CIFAR_SOURCE to an archive or folder of CIFAR-10 to run this)" : "";
const window = 500;
const planeBytes = 3 * 32 * 32;

type Observed = DriftObservation & { readonly label: number };

const clamp = (value: number): number => Math.min(255, Math.max(0, Math.round(value)));

const corruptions = {
  noise: (image: Uint8Array, rng: Rng) => image.map((value) => clamp(value + 25 * rng.normal())),
  blur: (image: Uint8Array) =>
    image.map((_, at) => {
      const [base, y, x] = [at - (at % 1024), Math.floor((at % 1024) / 32), at % 32];
      let sum = 0;
      for (let dy = -1; dy <= 1; dy++) {
        for (let dx = -1; dx <= 1; dx++) {
          sum += image[base + Math.min(31, Math.max(0, y + dy)) * 32 + Math.min(31, Math.max(0, x + dx))]!;
        }
      }
      return clamp(sum / 9);
    }),
  darkness: (image: Uint8Array) => image.map((value) => clamp(value * 0.5)),
} as const satisfies Record<string, (image: Uint8Array, rng: Rng) => Uint8Array>;

describe.skipIf(source === undefined)(`drift on real CIFAR-10${title}`, () => {
  let root: string;
  let bundle: Bundle;
  let clean: Observed[];
  const shifted: Record<string, Observed[]> = {};

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "drift-"));
    bundle = await readBundle(process.env.DRIFT_BUNDLE ?? (await train()));
    const { test } = await loadDataset({ name: "cifar10", source: source!, dataDir: join(root, "data") });
    const rng = createRng("drift test");
    const images = Array.from({ length: 4000 }, (_, i) => test.images.slice(i * planeBytes, (i + 1) * planeBytes));
    const labels = test.labels.subarray(0, images.length);
    clean = await observe(images, labels);
    for (const [name, corrupt] of Object.entries(corruptions)) {
      shifted[name] = await observe(
        images.slice(0, 1500).map((image) => corrupt(image, rng)),
        labels,
      );
    }
    // Animals only.
    shifted["class shift"] = clean.filter(({ label }) => label >= 2 && label <= 7);
  });
  afterAll(() => rm(root, { recursive: true, force: true }));

  async function train(): Promise<string> {
    const settings = [
      ...[`dataset.source=${source}`, "dataset.limit=8000", "dataset.validation_fraction=0.25"],
      ...["model.name=airbench", "model.width=0.25", "training.batch_size=256", "training.num_epochs=3"],
    ].flatMap((setting) => ["--set", setting]);
    const result = await runCli(["train", ...settings, "--json"], { cwd: root });
    expect(result.code, result.stderr).toBe(0);
    const models = join(root, "checkpoints", "models");
    return join(models, (await readdir(models))[0]!);
  }

  async function observe(images: readonly Uint8Array[], labels: Int32Array): Promise<Observed[]> {
    await using model = await loadInferenceModel(bundle.modelPath);
    const { preprocessing, calibration } = bundle.metadata;
    const found: Observed[] = [];
    for (let start = 0; start < images.length; start += 250) {
      const batch = images.slice(start, start + 250);
      const bytes = new Uint8Array(Buffer.concat(batch));
      const input = normalise(tensor("uint8", [batch.length, 3, 32, 32], bytes), preprocessing);
      const logits = floatData((await model.run({ images: input })).logits!);
      batch.forEach((image, i) => {
        const row = logits.slice(i * 10, (i + 1) * 10);
        const probabilities = softmax(row, calibration.temperature);
        const best = topK(probabilities, 1)[0]!;
        found.push({
          index: best.index,
          confidence: best.probability,
          probabilities: quantised(probabilities),
          features: driftFeatures(row, imageStatistics(image, 32, 32)),
          label: labels[start + i]!,
        });
      });
    }
    return found;
  }

  const monitor = () => new DriftMonitor(bundle.metadata.reference, { window, intervalSeconds: 0 });

  it("stays quiet on clean test images", () => {
    const rng = createRng("windows");
    const rounds = 200;
    let alarms = 0;
    const drift = monitor();
    for (let round = 0; round < rounds; round++) {
      const order = rng.permutation(clean.length);
      for (let i = 0; i < window; i++) drift.observe(clean[order[i]!]!);
      if (drift.report()!.detected) alarms++;
    }
    process.stdout.write(`drift: ${alarms} false alarms in ${rounds} windows of ${window} clean test images\n`);
    expect(alarms / rounds).toBeLessThanOrEqual(0.02);
  });

  it.each(["noise", "blur", "darkness", "class shift"])("fires on %s before half of the window shows it", (name) => {
    const rng = createRng(name);
    const delays: number[] = [];
    const every = 20;
    for (let repeat = 0; repeat < 9; repeat++) {
      const drift = monitor();
      const before = rng.permutation(clean.length);
      for (let i = 0; i < window; i++) drift.observe(clean[before[i]!]!);
      const order = rng.permutation(shifted[name]!.length);
      let delay = Number.POSITIVE_INFINITY;
      for (let i = 0; i < window && delay === Number.POSITIVE_INFINITY; i++) {
        drift.observe(shifted[name]![order[i]!]!);
        if (i % every === every - 1 && drift.report()!.detected) delay = i + 1;
      }
      delays.push(delay);
    }
    delays.sort((a, b) => a - b);
    process.stdout.write(
      `drift: ${name} detected after ${delays[4]} predictions (median; ${delays[0]} to ${delays[8]})\n`,
    );
    expect(delays[4]).toBeLessThanOrEqual(window / 2);
    expect(delays[8]).toBeLessThanOrEqual(window);
  });

  it("estimates the accuracy without labels, and better with some", () => {
    const accuracyOf = (items: readonly Observed[]) =>
      items.filter(({ index, label }) => index === label).length / items.length;
    for (const [name, items] of Object.entries({ clean, noise: shifted.noise!, blur: shifted.blur! })) {
      const drift = new DriftMonitor(bundle.metadata.reference, { window: 1000, intervalSeconds: 0 });
      const part = items.slice(0, 1000);
      for (const item of part) drift.observe(item);
      const truth = accuracyOf(part);
      const alone = drift.estimatedAccuracy!;
      for (const { confidence, index, label } of part.slice(0, 300))
        drift.feedback({ confidence, correct: index === label });
      const corrected = drift.estimatedAccuracy!;
      const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
      process.stdout.write(
        `accuracy, ${name}: ${percent(truth)}, estimated ${percent(alone)}, with feedback ${percent(corrected)}\n`,
      );
      if (name === "clean") expect(Math.abs(alone - truth)).toBeLessThan(0.06);
      expect(Math.abs(corrected - truth)).toBeLessThan(0.06);
    }
  });
});
