import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { loadInferenceModel } from "../../src/backends/onnx/inference-model.ts";
import { blockSize } from "../../src/backends/onnx/probe.ts";
import { readBundle } from "../../src/inference/bundle.ts";
import { readForms } from "../../src/inference/bundle-form.ts";
import { zeros } from "../../src/tensor/tensor.ts";
import { runCli, startCli } from "../cli/run-cli.ts";

// The real program on a small part of the synthetic images: processes of their own, on machines that may be busy.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

const small = [
  ...["dataset.source=synthetic", "dataset.limit=600", "training.batch_size=32", "training.num_epochs=2"],
  ...["training.seed=5", "evaluation.batch_size=100", "augmentation.use_augmentation=false"],
];
const models: Readonly<Record<string, readonly string[]>> = {
  airbench: [
    "model.width=0.125",
    "model.airbench.whitening_samples=200",
    "training.learning_rate=0.1",
    "evaluation.quantize=true",
  ],
  mobilenet_v2: ["model.width=0.25"],
};

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "quantize-"));
  for (const [name, settings] of Object.entries(models)) {
    const set = [...small, ...settings, `model.name=${name}`, `training.checkpoint_dir=${join(root, name)}`];
    const { code, stderr } = await runCli(["train", ...set.flatMap((one) => ["--set", one]), "--json"], { cwd: root });
    expect(code, stderr).toBe(0);
  }
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function bundleOf(name: string) {
  const folder = join(root, name, "models");
  const [only] = await readdir(folder);
  return readBundle(join(folder, only!));
}

async function files(directory: string): Promise<string[]> {
  return (await readdir(directory)).filter((name) => name.includes("int8")).sort();
}

describe.each(Object.keys(models))("cifar quantize of %s", (name) => {
  it("makes a form that onnxruntime loads, as accurate as the float model or with layers left in float", async () => {
    const bundle = await bundleOf(name);
    // Where the training was asked for it, it has made one already.
    const before = await readForms(bundle);
    expect(before.map(({ metadata }) => metadata.form)).toEqual(name === "airbench" ? ["int8"] : []);
    const { code, stdout, stderr } = await runCli(["quantize", bundle.directory, "--images", "200", "--json"], {
      cwd: root,
    });
    expect(code, stderr).toBe(0);
    const [form] = await readForms(await readBundle(bundle.directory));
    expect(form!.metadata).toEqual(JSON.parse(stdout).form);
    const { accuracy, floatLayers, calibration, agreement } = form!.metadata;
    expect(calibration).toEqual({ method: "minmax", images: 200 });
    const { validation } = accuracy;
    const lost = validation!.float - validation!.form;
    if (floatLayers.length === 0) expect(lost).toBeLessThanOrEqual(0.002);
    expect(agreement).toBeGreaterThan(0.5);
    expect(Math.abs(accuracy.test.float - bundle.metadata.metrics.test!.accuracy)).toBeLessThan(1e-9);

    await using model = await loadInferenceModel(form!.modelPath);
    await using float = await loadInferenceModel(bundle.modelPath);
    expect(model.inputs).toEqual(float.inputs);
    expect(model.outputs).toEqual(float.outputs);
    for (const batch of [1, 3]) {
      const { logits } = await model.run({ images: zeros("float32", [batch, 3, 32, 32]) });
      expect(logits!.shape).toEqual([batch, 10]);
    }

    // What is reported of a form is what is measured of it.
    const evaluated = async (wanted: string) => {
      const { stdout: json } = await runCli(["evaluate", "--model", bundle.directory, "--form", wanted, "--json"], {
        cwd: root,
      });
      const result = JSON.parse(json) as { form: string; temperature: number; metrics: { accuracy: number } };
      expect(result.form).toBe(wanted);
      return result;
    };
    const int8 = await evaluated("int8");
    expect(int8.metrics.accuracy).toBe(accuracy.test.form);
    expect(int8.temperature).toBe(form!.metadata.temperature);
    expect((await evaluated("portable")).metrics.accuracy).toBe(accuracy.test.float);
    const oneImage = 1 / accuracy.test.images;
    if ((await blockSize()) > 0)
      expect(Math.abs((await evaluated("machine")).metrics.accuracy - accuracy.test.float)).toBeLessThanOrEqual(
        oneImage,
      );
  });
});

describe("a form", () => {
  it("is refused where model.onnx is another one than it was made from, or where it was altered", async () => {
    const bundle = await bundleOf("airbench");
    const [form] = await readForms(bundle);
    const path = join(bundle.directory, "model.int8.json");
    const foreign = { ...bundle, metadata: { ...bundle.metadata, modelSha256: "0".repeat(64) } };
    await expect(readForms(foreign)).rejects.toMatchObject({ code: "BUNDLE_DAMAGED", details: { path } });
    const bytes = await readFile(form!.modelPath);
    await writeFile(form!.modelPath, bytes.subarray(1));
    await expect(readForms(bundle)).rejects.toMatchObject({ details: { path: form!.modelPath } });
    await rm(form!.modelPath);
    await expect(readForms(bundle)).rejects.toMatchObject({ details: { path: form!.modelPath } });
    await writeFile(path, "{}");
    await expect(readForms(bundle)).rejects.toMatchObject({ code: "BUNDLE_DAMAGED", details: { path } });
    await rm(path);
    expect(await readForms(bundle)).toEqual([]);
  });

  it.each(["SIGINT", "SIGKILL"] as const)("is not there after %s while it is calibrated", async (signal) => {
    const bundle = await bundleOf("mobilenet_v2");
    await rm(join(bundle.directory, "model.int8.json"), { force: true });
    await rm(join(bundle.directory, "model.int8.onnx"), { force: true });
    let sent = false;
    const { child, ended } = startCli(["quantize", bundle.directory, "--calibration", "entropy"], { cwd: root });
    child.stderr!.on("data", (chunk: Buffer) => {
      if (sent || !chunk.toString().includes("calibrating")) return;
      sent = true;
      child.kill(signal);
    });
    const { code } = await ended;
    expect(sent).toBe(true);
    expect(code).toBe(signal === "SIGINT" ? 130 : null);
    expect(await files(bundle.directory)).toEqual([]);
  });

  it("is not made of a bundle without weights, or with those of another training", async () => {
    const bundle = await bundleOf("airbench");
    const path = join(bundle.directory, "weights.safetensors");
    const own = await readFile(path);
    const other = await readFile(join((await bundleOf("mobilenet_v2")).directory, "weights.safetensors"));
    await writeFile(path, other);
    const foreign = await runCli(["quantize", bundle.directory], { cwd: root });
    expect(foreign.stderr).toContain("BUNDLE_DAMAGED");
    await rm(path);
    const without = await runCli(["quantize", bundle.directory], { cwd: root });
    expect(without.stderr).toContain("INVALID_ARGUMENT");
    expect([foreign.code, without.code]).toEqual([1, 1]);
    await writeFile(path, own);
    expect(await files(bundle.directory)).toEqual([]);
  });
});
