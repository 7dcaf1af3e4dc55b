import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, describe, expect, it, onTestFinished } from "vitest";
import { exportInferenceModel } from "../../src/backends/onnx/export.ts";
import { blockSize } from "../../src/backends/onnx/probe.ts";
import { usableWeightBits } from "../../src/backends/onnx/quantized/weight-bits.ts";
import { createRng } from "../../src/base/rng.ts";
import { type Bundle, writeBundle } from "../../src/inference/bundle.ts";
import { writeForm } from "../../src/inference/bundle-form.ts";
import type { FormChoice } from "../../src/inference/forms/choose-forms.ts";
import { noise, sampleOf } from "../../src/inference/sample-images.ts";
import { buildInferenceGraph, initialWeights } from "../../src/models/model.ts";
import { models } from "../../src/models/registry.ts";
import { startServer } from "../../src/serving/server.ts";
import { cifarClasses, tinyMetadata, tinyModel, writeTinyBundle } from "./tiny-bundle.ts";

const root = await mkdtemp(join(tmpdir(), "forms-"));
afterAll(() => rm(root, { recursive: true, force: true }));
const block = await blockSize();
let folders = 0;
const folder = () => join(root, String(folders++));

/** A network with blocked convolutions, of random weights. */
async function convolutionBundle(): Promise<Bundle> {
  const model = models.resnet9.build({ classes: cifarClasses.length, height: 32, width: 32, widthFactor: 0.5 });
  const weights = initialWeights(model, createRng(3));
  const metadata = tinyMetadata({ name: "resnet9_trainer_20260101-000000" });
  return writeBundle({
    directory: join(folder(), metadata.name),
    modelBytes: await exportInferenceModel(buildInferenceGraph(model, { batch: 2 }), weights),
    sample: sampleOf({ images: noise(8, { height: 32, width: 32 }), count: 8, height: 32, width: 32 }),
    metadata,
  });
}

/** The tiny model, and as its quantised form the same file. */
async function bundleWithForm(
  validation: { readonly float: number; readonly form: number },
  weightBits: 7 | 8 = 7,
): Promise<Bundle> {
  const bundle = await writeTinyBundle(folder());
  await writeForm(bundle, await readFile(tinyModel), {
    ...{ formatVersion: 1, form: "int8", createdAt: "2026-01-01T00:00:00.000Z", weightBits, floatLayers: [] },
    ...{ calibration: { method: "minmax", images: 100 }, temperature: 20, agreement: 0.99, calibrationError: 0.01 },
    accuracy: { validation: { ...validation, images: 100 }, test: { float: 0.9, form: 0.9, images: 100 } },
  });
  return bundle;
}

interface Answer {
  readonly form: string;
  readonly all_probabilities: Readonly<Record<string, number>>;
}

async function serve(bundle: Bundle, form: FormChoice) {
  const options = { workers: 1, threads: 1, maxBatchSize: 8, window: "fixed", maxDelayMs: 200 } as const;
  const server = await startServer({ bundle, form, port: 0, ...options });
  onTestFinished(() => server.close());
  const image = await sharp({ create: { width: 40, height: 30, channels: 3, background: "#c04020" } })
    .png()
    .toBuffer();
  /** So many images in one request, and so in one batch. */
  const predict = async (count: number): Promise<readonly Answer[]> => {
    const body = new FormData();
    for (let i = 0; i < count; i++) body.append("file", new Blob([new Uint8Array(image)]), `${i}.png`);
    const response = await fetch(`${server.url}/predict/batch`, { method: "POST", body });
    expect(response.status).toBe(200);
    return ((await response.json()) as { predictions: Answer[] }).predictions;
  };
  return { server, predict };
}

const title =
  block === 0 ? "the form for this machine (skipped: no blocked kernels here)" : "the form for this machine";
describe.skipIf(block === 0)(title, () => {
  it("gives the answers of model.onnx, for batches that fill it and smaller ones, and says so", async () => {
    const bundle = await convolutionBundle();
    const machine = await serve(bundle, "machine");
    const portable = await serve(bundle, "portable");
    for (const count of [8, 3, 1]) {
      const [ours, plain] = [await machine.predict(count), await portable.predict(count)];
      expect(ours.map(({ form }) => form)).toEqual(new Array(count).fill("machine"));
      expect(plain.map(({ form }) => form)).toEqual(new Array(count).fill("portable"));
      for (const [i, { all_probabilities: probabilities }] of ours.entries())
        for (const name of cifarClasses) {
          expect(probabilities[name]).toBeCloseTo(plain[i]!.all_probabilities[name]!, 5);
        }
    }
    const { models: listed } = (await (await fetch(`${machine.server.url}/models`)).json()) as {
      models: { forms: string[] }[];
    };
    expect(listed[0]!.forms).toEqual(["machine"]);
    const metrics = await (await fetch(`${machine.server.url}/metrics`)).text();
    expect(metrics).toMatch(/model_form_images_total\{form="machine"\} 12/);
  });

  it("is measured once for each setting: the next start takes what was chosen, unless the file is damaged", async () => {
    const bundle = await convolutionBundle();
    await serve(bundle, "machine");
    await serve(bundle, "auto");
    const file = join(bundle.directory, "forms-chosen.json");
    const [auto, machine, ...rest] = JSON.parse(await readFile(file, "utf8"));
    expect([auto.key, machine.key]).toEqual([
      expect.stringContaining("; auto; "),
      expect.stringContaining("; machine; "),
    ]);
    expect(rest).toEqual([]);
    expect(machine.plan.variants[0]).toEqual({ form: "machine", size: 1 });
    expect(machine.plan.byCount).toHaveLength(8);
    // A plan that no measurement would give shows that it is read.
    const changed = { ...machine, plan: { variants: [{ form: "portable" }], byCount: new Array(8).fill(0) } };
    await writeFile(file, JSON.stringify([auto, changed]));
    expect((await (await serve(bundle, "machine")).predict(8))[0]!.form).toBe("portable");
    await writeFile(file, JSON.stringify([changed]).slice(0, 40));
    expect((await (await serve(bundle, "machine")).predict(8))[0]!.form).toBe("machine");
  });
});

describe("the quantised form", () => {
  it("answers with its own calibration when it is asked for", async () => {
    const bundle = await bundleWithForm({ float: 0.9, form: 0.5 });
    const [int8] = await (await serve(bundle, "int8")).predict(1);
    const [portable] = await (await serve(bundle, "portable")).predict(1);
    expect([int8!.form, portable!.form]).toEqual(["int8", "portable"]);
    const top = ({ all_probabilities: all }: Answer) => Math.max(...Object.values(all));
    // Temperature 20 against 1.5: nearer to a tenth each.
    expect(top(int8!)).toBeLessThan(top(portable!));
    expect(top(int8!)).toBeGreaterThan(0.1);
  });

  it("is not used with weights of more bits than this processor adds exactly", async () => {
    const bundle = await bundleWithForm({ float: 0.9, form: 0.9 }, 8);
    const [answer] = await (await serve(bundle, "auto")).predict(1);
    if ((await usableWeightBits()) === 8) expect(["portable", "int8"]).toContain(answer!.form);
    else {
      expect(answer!.form).toBe("portable");
      await expect(startServer({ bundle, form: "int8", port: 0 })).rejects.toMatchObject({ code: "MODEL_REFUSED" });
    }
  });

  it("does not serve by itself where it costs more than 0.2 points of accuracy", async () => {
    const [answer] = await (await serve(await bundleWithForm({ float: 0.9, form: 0.897 }), "auto")).predict(1);
    expect(answer!.form).not.toBe("int8");
  });

  it("is missed in words where a bundle has none, and refused where it is damaged", async () => {
    const bundle = await writeTinyBundle(folder());
    await expect(startServer({ bundle, form: "int8", port: 0 })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      remedy: expect.stringContaining("cifar quantize"),
    });
    const broken = await bundleWithForm({ float: 0.9, form: 0.9 });
    await writeFile(join(broken.directory, "model.int8.onnx"), "x");
    await expect(startServer({ bundle: broken, port: 0 })).rejects.toMatchObject({ code: "BUNDLE_DAMAGED" });
  });
});
