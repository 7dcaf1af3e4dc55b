import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { PipelineError } from "../base/errors.ts";
import { configToYaml, flattenConfig } from "./flatten.ts";
import { loadConfig } from "./load.ts";
import { presetNames } from "./presets.ts";

const folder = mkdtempSync(join(tmpdir(), "cifar-config-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let count = 0;
function yaml(text: string): string {
  count += 1;
  const file = join(folder, `c${count}.yaml`);
  writeFileSync(file, text);
  return file;
}

function failure(run: () => unknown): PipelineError {
  try {
    run();
  } catch (error) {
    if (error instanceof PipelineError) return error;
    throw error;
  }
  throw new Error("expected a PipelineError");
}

describe("loadConfig", () => {
  it("gives the defaults, frozen, when nothing is set", () => {
    const { config, resolved, sources } = loadConfig({ env: {} });
    expect(config.model.name).toBe("resnet9");
    expect(config.dataset.source).toBe("official");
    expect(config.model.airbench.logit_scale).toBeCloseTo(1 / 9, 15);
    expect(sources["training.batch_size"]).toEqual({ kind: "default" });
    expect(Object.isFrozen(config.model.airbench)).toBe(true);
    expect(resolved).toEqual(config);
    expect(Object.isFrozen(resolved)).toBe(false);
  });

  it("lets each source win over those before it and remembers where a value came from", () => {
    const file = yaml("training:\n  batch_size: 17\n  num_epochs: 3\n  learning_rate: 0.5\n");
    const { config, sources } = loadConfig({
      file,
      env: {},
      preset: "airbench94",
      overrides: ["training.num_epochs=9", "training.num_epochs=7", "training.momentum=0.5"],
    });
    expect(config.training.batch_size).toBe(1024);
    expect(config.training.num_epochs).toBe(7);
    expect(config.training.momentum).toBe(0.5);
    expect(sources["training.batch_size"]).toEqual({ kind: "preset", preset: "airbench94" });
    expect(sources["training.num_epochs"]).toEqual({ kind: "override", argument: "training.num_epochs=7" });
    const plain = loadConfig({ file, env: {} });
    expect(plain.config.training.batch_size).toBe(17);
    expect(plain.sources["training.learning_rate"]).toEqual({ kind: "file", file, line: 4 });
  });

  it("takes CIFAR_SOURCE as the default of dataset.source only", () => {
    const env = { CIFAR_SOURCE: "/data/cifar.tar.gz" };
    const nulled = loadConfig({ env, file: yaml("dataset:\n  source: null\n") });
    expect(nulled.config.dataset.source).toBe("/data/cifar.tar.gz");
    expect(nulled.sources["dataset.source"]).toEqual({ kind: "env", variable: "CIFAR_SOURCE" });
    expect(loadConfig({ env, file: yaml("dataset:\n  source: synthetic\n") }).config.dataset.source).toBe("synthetic");
    expect(loadConfig({ env: { CIFAR_SOURCE: "" } }).config.dataset.source).toBe("official");
  });

  it("reports every problem at once with place, value and suggestion", () => {
    const file = yaml(
      "batch_size: 4\ntraining:\n  batch_sizes: 5\n  num_epochs: many\n  optimizer: adam\nmodle:\n  name: x\n",
    );
    const error = failure(() => loadConfig({ file, env: {}, overrides: ["training.dropout_rate=2", "nonsense"] }));
    expect(error.code).toBe("CONFIG_INVALID");
    expect(error.message).toContain(`unknown key batch_size; did you mean training.batch_size? (${file}:1)`);
    expect(error.message).toContain(`unknown key training.batch_sizes; did you mean training.batch_size? (${file}:3)`);
    expect(error.message).toContain(`training.num_epochs is "many" but must be a whole number >= 1`);
    expect(error.message).toContain(`(${file}:4)`);
    expect(error.message).toContain(
      `training.optimizer is "adam" but must be one of adamw, sgd, muon; did you mean adamw?`,
    );
    expect(error.message).toContain(`unknown key modle; did you mean model? (${file}:6)`);
    expect(error.message).toContain(
      "unknown key training.dropout_rate; did you mean model.dropout_rate? (--set training.dropout_rate=2)",
    );
    expect(error.message).toContain("--set nonsense: write it as section.key=value");
    expect(error.details.problems).toHaveLength(7);
  });

  it("refuses values out of range, of the wrong kind and non-finite ones", () => {
    for (const override of [
      "training.learning_rate=.nan",
      "training.learning_rate=.inf",
      "training.learning_rate=0",
      "training.batch_size=1.5",
      "training.early_stopping=no",
      "model.dropout_rate=1",
      "training=5",
      "training.batch_size=[1,2]",
      "training.batch_size={a: 1}",
      "training.batch_size=",
      "serving.port=70000",
      "__proto__.polluted=1",
      "training.__proto__={a: 1}",
      "augmentation.horizontal_flip=sometimes",
      "ray_tune.parameters={lr: {min: 2, max: 1}}",
      "ray_tune.parameters={lr: {low: 2}}",
    ])
      expect(failure(() => loadConfig({ env: {}, overrides: [override] })).code, override).toBe("CONFIG_INVALID");
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  it("checks rules over several keys", () => {
    const error = failure(() =>
      loadConfig({ env: {}, overrides: ["training.warmup_epochs=11", "dataset.name=folder"] }),
    );
    expect(error.message).toContain("training.warmup_epochs is 11 but must not exceed training.num_epochs (10)");
    expect(error.message).toContain("must be the path of a folder");
  });

  it("derives the warm-up from scheduler and number of epochs", () => {
    const warmup = (...overrides: string[]): number => loadConfig({ env: {}, overrides }).config.training.warmup_epochs;
    expect(warmup()).toBe(2);
    expect(warmup("training.num_epochs=1")).toBe(0.2);
    expect(warmup("training.scheduler=cosine")).toBe(0);
    expect(warmup("training.warmup_epochs=3")).toBe(3);
  });

  it("reads overrides as YAML or JSON, and as text where the key takes text", () => {
    const { config } = loadConfig({
      env: {},
      overrides: [
        "mlflow.experiment_name=123",
        "dataset.source=C:\\data\\a: b",
        'augmentation={"crop_padding": 2, "horizontal_flip": "alternating"}',
        "training.grad_clip_norm=null",
        "augmentation.affine_scale=[0.5, 2]",
        "training.learning_rate=1e-3",
      ],
    });
    expect(config.mlflow.experiment_name).toBe("123");
    expect(config.dataset.source).toBe("C:\\data\\a: b");
    expect(config.augmentation).toMatchObject({ crop_padding: 2, horizontal_flip: "alternating", random_crop: true });
    expect(config.augmentation.affine_scale).toEqual([0.5, 2]);
    expect(config.training.learning_rate).toBe(0.001);
  });

  it("treats an empty file and an empty section as nothing given", () => {
    const { config } = loadConfig({ env: {}, file: yaml("# nothing\n") });
    expect(config).toEqual(loadConfig({ env: {}, file: yaml("training:\n") }).config);
  });

  it("refuses files that are missing, folders, too large, no YAML, no mapping or full of aliases", () => {
    const bomb = `a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [${"*a,".repeat(20)}]\nc: &c [${"*b,".repeat(20)}]\nd: [${"*c,".repeat(20)}]\n`;
    for (const file of [
      join(folder, "missing.yaml"),
      folder,
      yaml("a".repeat(300_000)),
      yaml("training:\n  a: [1\n"),
      yaml("- 1\n"),
      yaml("training:\n  seed: 1\n  seed: 2\n"),
      yaml("training: !!python/object:os.system {}\n"),
      yaml(bomb),
    ])
      expect(failure(() => loadConfig({ env: {}, file })).code, file).toBe("CONFIG_UNREADABLE");
    expect(failure(() => loadConfig({ env: {}, file: yaml("training:\n  seed: 1\n  seed: 2\n") })).message).toContain(
      ".yaml:3",
    );
  });

  it("suggests a preset", () => {
    expect(failure(() => loadConfig({ env: {}, preset: "quik" })).message).toContain("did you mean quick?");
    for (const preset of presetNames) expect(() => loadConfig({ env: {}, preset })).not.toThrow();
  });

  it("resolves to YAML that loads to the same configuration", () => {
    const { config } = loadConfig({ env: { CIFAR_SOURCE: "/x" }, preset: "airbench94_muon" });
    expect(loadConfig({ env: {}, file: yaml(configToYaml(config)) }).config).toEqual(config);
  });
});

describe("checkSupported", () => {
  it.each([
    ["training.use_amp=true", "false on the device cpu"],
    ["mlflow.tracking_uri=databricks", "null, the path of an SQLite file"],
    ["mlflow.tracking_uri=s3://bucket", "null, the path of an SQLite file"],
    ["distributed.use_gpu=true", "false"],
  ])("refuses %s", (override, possible) => {
    const error = failure(() => loadConfig({ env: {}, overrides: [override] }));
    expect(error.code).toBe("CONFIG_UNSUPPORTED");
    expect(error.message).toContain(override.slice(0, override.indexOf("=")));
    expect(error.message).toContain(`possible now: ${possible}`);
    expect(error.message).toContain(`(--set ${override})`);
  });

  it("refuses a width where the network's is fixed, naming those where it is not", () => {
    const overrides = ["model.name=resnet18", "model.width=0.5"];
    const { message } = failure(() => loadConfig({ env: {}, overrides }));
    expect(message).toContain("model.width: 0.5");
    expect(message).toContain("unless the network is resnet9, airbench or mobilenet_v2");
    for (const accepted of ["model.name=mobilenet_v2", "model.name=resnet9"])
      expect(() => loadConfig({ env: {}, overrides: [accepted, "model.width=0.5"] })).not.toThrow();
    expect(() => loadConfig({ env: {}, overrides: ["model.name=regnet", "model.width=1"] })).not.toThrow();
  });

  it("lists every refused key and accepts the parameters of a feature that is off", () => {
    const overrides = ["training.use_amp=true", "distributed.use_gpu=true"];
    expect(failure(() => loadConfig({ env: {}, overrides })).details.refused).toHaveLength(2);
    expect(() =>
      loadConfig({ env: {}, overrides: ["augmentation.hue=0.3", "distributed.world_size=4"] }),
    ).not.toThrow();
    for (const uri of ["runs/other.sqlite", "http://localhost:5000", "postgresql://db/tracking"])
      expect(() => loadConfig({ env: {}, overrides: [`mlflow.tracking_uri=${uri}`] }), uri).not.toThrow();
    expect(() => loadConfig({ env: {}, overrides: ["training.use_amp=true", "training.device=cuda"] })).not.toThrow();
  });
});

describe("flattenConfig", () => {
  it("gives dotted keys with text values", () => {
    const flat = flattenConfig(loadConfig({ env: {} }).config);
    expect(flat["training.batch_size"]).toBe("256");
    expect(flat["model.weights"]).toBe("null");
    expect(flat["augmentation.affine_scale"]).toBe("[0.8,1.2]");
    expect(flat["model.airbench.whitening"]).toBe("true");
  });
});
