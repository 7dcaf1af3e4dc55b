import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { exportInferenceModel } from "../../src/backends/onnx/export.ts";
import { loadInferenceModel } from "../../src/backends/onnx/inference-model.ts";
import { createRng } from "../../src/base/rng.ts";
import { type Config, configSchema, type PartialConfig } from "../../src/config/schema.ts";
import { configuredNetwork } from "../../src/experiments/configured-network.ts";
import { input as inputValue } from "../../src/graph/build.ts";
import { defineGraph } from "../../src/graph/graph.ts";
import { type Bundle, readBundle } from "../../src/inference/bundle.ts";
import { softmax } from "../../src/inference/softmax.ts";
import { buildInferenceGraph } from "../../src/models/model.ts";
import { globalAvgPool } from "../../src/nn/layers/pool.ts";
import type { ForwardContext } from "../../src/nn/module.ts";
import { readSafetensors } from "../../src/tensor/safetensors.ts";
import { floatData, floats, type Named, type Tensor } from "../../src/tensor/tensor.ts";
import { cifar } from "../cli/in-process.ts";
import { deviation } from "../numerics/deviation.ts";

vi.setConfig({ testTimeout: 60_000 });

interface Golden {
  readonly name: string;
  readonly file: string;
  readonly scores: readonly number[];
}

/** Files of PyTorch's exporter for images of 12x12 and five classes. */
const { cases } = JSON.parse(await readFile(new URL("../goldens/onnx-models.json", import.meta.url), "utf8")) as {
  readonly cases: readonly Golden[];
};
const size = 12;
const images = floats(
  [2, 3, size, size],
  Float32Array.from({ length: 2 * 3 * size * size }, (_, i) => Math.sin(i * i * 0.37)),
);

let root: string;
let folder: string;
const fileOf = (name: string): string => join(root, `${name}.onnx`);

/** Classes are told apart by the colour, in noise. */
const colours = { red: 0, green: 1, blue: 2 } as const;
const classes = Object.keys(colours).sort();

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "imported-"));
  for (const { name, file } of cases) await writeFile(fileOf(name), Buffer.from(file, "base64"));
  folder = join(root, "images");
  const rng = createRng(3);
  for (const [part, count] of Object.entries({ train: 40, test: 20 })) {
    for (const [name, channel] of Object.entries(colours)) {
      await mkdir(join(folder, part, name), { recursive: true });
      for (let i = 0; i < count; i++) {
        const pixels = Uint8Array.from({ length: size * size * 3 }, (_, at) =>
          at % 3 === channel ? 120 + rng.int(136) : rng.int(136),
        );
        await sharp(pixels, { raw: { width: size, height: size, channels: 3 } })
          .png()
          .toFile(join(folder, part, name, `${i}.png`));
      }
    }
  }
});
afterAll(() => rm(root, { recursive: true, force: true }));

type Mode = Config["model"]["transfer_mode"];

const configOf = (weights: string, mode: Mode, model: PartialConfig["model"] = {}): Config =>
  configSchema.parse({
    dataset: { name: "folder", source: folder, img_size: size },
    model: { name: "imported", weights, transfer_mode: mode, ...model },
  });

/** The one bundle that a training of so many epochs makes. */
async function train(weights: string, mode: Mode, ...more: readonly string[]): Promise<Bundle> {
  const checkpoints = await mkdtemp(join(root, "run-"));
  const settings = [
    ...["dataset.name=folder", `dataset.source=${folder}`, `dataset.img_size=${size}`],
    ...["model.name=imported", `model.weights=${weights}`, `model.transfer_mode=${mode}`],
    ...[`model.transfer.feature_dir=${join(root, "features")}`, "augmentation.use_augmentation=false"],
    ...["training.batch_size=20", "training.num_epochs=12", "training.learning_rate=0.01", "training.threads=2"],
    ...[`training.checkpoint_dir=${checkpoints}`, `mlflow.tracking_uri=${join(root, "tracking.db")}`, ...more],
  ];
  const { code, err } = await cifar("train", ...settings.flatMap((one) => ["--set", one]), "--json");
  expect(code, err).toBe(0);
  const models = join(checkpoints, "models");
  const [only] = await readdir(models);
  return readBundle(join(models, only!));
}

describe("an imported network", () => {
  it.each(cases)("$name starts with the logits of its file", async ({ name, scores }) => {
    const config = configOf(fileOf(name), "fine_tune");
    const { model, weights } = await configuredNetwork(config, { classes: 5, height: size, width: size }, {});
    expect(weights!.replaced).toEqual([]);
    const graph = buildInferenceGraph(model, { batch: 2 });
    await using served = await loadInferenceModel(await exportInferenceModel(graph, weights!.weights));
    const logits = floatData((await served.run({ images })).logits!);
    const found = name.startsWith("shapes") ? [...softmax(logits.slice(0, 5)), ...softmax(logits.slice(5))] : logits;
    expect(deviation(Float32Array.from(found), Float32Array.from(scores))).toBeLessThan(1e-5);
  });

  it("gets a classifier of its own where the classes are others, behind the maps that its own averages", async () => {
    const input = { classes: 3, height: size, width: size };
    const residual = await configuredNetwork(configOf(fileOf("residual"), "fine_tune"), input, {});
    expect(residual.weights!.replaced).toEqual(["classifier.weight", "classifier.bias"]);
    expect(residual.model).toMatchObject({ name: "imported", featureChannels: 8 });
    const plain = await configuredNetwork(configOf(fileOf("plain"), "fine_tune"), input, {});
    expect(plain.model.featureChannels).toBe(128);
  });

  it("refuses images of another size, and a file that ends in no linear layer", async () => {
    const input = { classes: 3, height: 32, width: 32 };
    await expect(configuredNetwork(configOf(fileOf("plain"), "fine_tune"), input, {})).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      remedy: expect.stringContaining("dataset.img_size=12"),
    });
    const given = inputValue("images", "float32", [2, 3, size, size]);
    const logits = globalAvgPool.forward(given, {} as ForwardContext);
    const colours = defineGraph({ name: "colours", inputs: [given], variables: {}, outputs: { logits } });
    await writeFile(fileOf("colours"), await exportInferenceModel(colours, {}));
    const fitting = { classes: 3, height: size, width: size };
    await expect(configuredNetwork(configOf(fileOf("colours"), "fine_tune"), fitting, {})).rejects.toMatchObject({
      code: "MODEL_UNSUPPORTED",
      message: expect.stringContaining("linear layer"),
    });
  });

  it.each([
    ["from_scratch", "x.onnx", "model.transfer_mode"],
    ["fine_tune", "imagenet", "model.weights"],
  ] as const)("is not configured with %s and %s", (mode, weights, key) => {
    const parsed = configSchema.safeParse({
      model: { name: "imported", weights: mode === "from_scratch" ? null : weights, transfer_mode: mode },
    });
    expect(parsed.error?.issues.map(({ path }) => path.join("."))).toContain(key);
  });
});

describe("training an imported network", () => {
  let bundle: string;
  beforeAll(async () => {
    const { code, out, err } = await cifar(
      ...["import", fileOf("residual"), "--name", "residual", "--classes", "a,b,c,d,e"],
      ...["--mean", "0.5,0.4,0.3", "--std", "0.2,0.2,0.25", "--json"],
      ...["--set", `training.checkpoint_dir=${join(root, "imports")}`],
    );
    expect(code, err).toBe(0);
    bundle = (JSON.parse(out) as { directory: string }).directory;
  });
  const weightsOf = async ({ directory }: Bundle): Promise<Named<Tensor>> =>
    (await readSafetensors(join(directory, "weights.safetensors"))).tensors;

  it.each(["classifier_only", "RCBAM", "fine_tune"] as const)(
    "%s learns, and the trunk moves or stays",
    async (mode) => {
      const config = configOf(bundle, mode);
      const { model, weights } = await configuredNetwork(config, { classes: 3, height: size, width: size }, {});
      const trained = await train(bundle, mode);
      expect(trained.metadata).toMatchObject({ classes, model: { architecture: "imported" } });
      // As its bundle was imported.
      expect(trained.metadata.preprocessing).toMatchObject({ mean: [0.5, 0.4, 0.3], std: [0.2, 0.2, 0.25] });
      expect(trained.metadata.metrics.test!.accuracy).toBeGreaterThan(0.8);
      const now = await weightsOf(trained);
      const moved = Object.entries(weights!.weights).filter(([name, { data }]) =>
        floatData(now[name]!).some((value, i) => value !== data[i]),
      );
      const [trunk] = model.stages;
      if (mode === "fine_tune") expect(moved.length).toBe(trunk!.parameters.length);
      else expect(moved).toEqual([]);
    },
  );

  it("goes on from what was trained so, whose 8-bit form is made of its model.onnx", async () => {
    const first = await train(bundle, "fine_tune", "training.num_epochs=8");
    const second = await train(first.directory, "fine_tune", "training.num_epochs=1", "training.learning_rate=0.0001");
    expect(second.metadata.metrics.test!.accuracy).toBeGreaterThan(0.8);
    const { code, err } = await cifar("quantize", second.directory, "--images", "60", "--json");
    expect(code, err).toBe(0);
    expect(await readdir(second.directory)).toContain("model.int8.onnx");
  });
});
