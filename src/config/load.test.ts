import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { PipelineError } from "../base/errors.ts";
import { configToYaml, flattenConfig, valueAtKey } from "./flatten.ts";
import { configKeys } from "./keys.ts";
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

  it("takes MLFLOW_EXPERIMENT_NAME as the default of mlflow.experiment_name", () => {
    const env = { MLFLOW_EXPERIMENT_NAME: "night" };
    const nulled = loadConfig({ env, file: yaml("mlflow:\n  experiment_name: null\n") });
    expect(nulled.config.mlflow.experiment_name).toBe("night");
    expect(nulled.sources["mlflow.experiment_name"]).toEqual({ kind: "env", variable: "MLFLOW_EXPERIMENT_NAME" });
    expect(loadConfig({ env, overrides: ["mlflow.experiment_name=day"] }).config.mlflow.experiment_name).toBe("day");
    expect(loadConfig({ env: {} }).config.mlflow.experiment_name).toBe("cifar_classification");
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
    expect(warmup("training.scheduler=onecycle")).toBe(3);
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

  it("keeps text of --set as it is, every sign of it", () => {
    for (const text of ["/data/my #1 set", "&x y", "run #3", "*a", "!tag", "{a: 1}", " padded ", '"quoted"', "true"]) {
      const { config } = loadConfig({
        env: {},
        overrides: [`dataset.source=${text}`, `mlflow.experiment_name=${text}`, `training.checkpoint_dir=${text}`],
      });
      expect(config.dataset.source).toBe(text);
      expect(config.mlflow.experiment_name).toBe(text);
      expect(config.training.checkpoint_dir).toBe(text);
    }
    expect(loadConfig({ env: {}, overrides: ["model.weights=null"] }).config.model.weights).toBeNull();
  });

  it("expands ~/ in every key that is a path, wherever it comes from", () => {
    const home = (name: string) => join(homedir(), name);
    const keys = [
      ...["dataset.source", "dataset.data_dir", "training.checkpoint_dir", "mlflow.tracking_uri", "model.weights"],
      ...["model.weights_dir", "model.transfer.feature_dir", "monitoring.log_dir", "monitoring.rules_file"],
      ...["monitoring.alertmanager_file", "monitoring.training_progress_file", "serving.api_keys_file"],
      "ray_tune.ray.token_file",
    ];
    // Nothing that names a file or folder is left out.
    const named = configKeys.filter(({ key }) => /(_dir|_file|source|weights|_uri)$/.test(key)).map(({ key }) => key);
    expect(keys).toEqual(expect.arrayContaining(named));
    for (const key of keys) {
      const mode = key === "model.weights" ? ["model.transfer_mode=fine_tune"] : [];
      const { config } = loadConfig({ env: {}, overrides: [...mode, `${key}=~/some place`] });
      expect(valueAtKey(config, key), key).toBe(home("some place"));
    }
    const file = yaml("training:\n  checkpoint_dir: ~/runs\n");
    const { config } = loadConfig({ env: { CIFAR_SOURCE: "~/cifar" }, file });
    expect(config.dataset.source).toBe(home("cifar"));
    expect(config.training.checkpoint_dir).toBe(home("runs"));
    const other = loadConfig({ env: {}, overrides: ["dataset.data_dir=~other/x", "mlflow.experiment_name=~/x"] });
    expect(other.config.dataset.data_dir).toBe("~other/x");
    expect(other.config.mlflow.experiment_name).toBe("~/x");
  });

  it("says in plain words what is wrong with a file", () => {
    const faults: readonly [text: string | Buffer, code: string, words: RegExp][] = [
      [
        "training.seed: 3\n",
        "CONFIG_INVALID",
        /unknown key training\.seed; write `training:` and, indented below, `seed: …`/,
      ],
      ["training:\n  muon.sgd_momentum: 0.5\n", "CONFIG_INVALID", /write `training:` and below it `muon:`/],
      ["training:\n  seed:\n", "CONFIG_INVALID", /training\.seed has no value but must be a whole number/],
      [
        Buffer.from("# caf\xe9\n", "latin1"),
        "CONFIG_UNREADABLE",
        /not in UTF-8 \(in Latin-1, perhaps\).*encoding UTF-8/,
      ],
      [Buffer.from("training:\n", "utf16le"), "CONFIG_UNREADABLE", /zero bytes.*encoding UTF-8/],
      ["training:\n  seed: 1\n---\ntraining:\n  seed: 2\n", "CONFIG_UNREADABLE", /:3: a second document begins here/],
      ["training:\n\tseed: 1\n", "CONFIG_UNREADABLE", /:2: a tab as indentation/],
      ["training:\n  seed: 1\n  seed: 2\n", "CONFIG_UNREADABLE", /:3: this key is there twice/],
      ["training: {seed: 1\n", "CONFIG_UNREADABLE", /is missing|does not fit/],
      ["training: *x\n", "CONFIG_UNREADABLE", /alias/],
      ["a: 'x\n", "CONFIG_UNREADABLE", /missing/],
    ];
    for (const [text, code, words] of faults) {
      const file = join(folder, "fault.yaml");
      writeFileSync(file, text);
      const error = failure(() => loadConfig({ file, env: {} }));
      expect(error.code, String(text)).toBe(code);
      expect(error.message).toMatch(words);
      expect(error.message).not.toMatch(/YAML\.|parseAllDocuments|implicit|flow|scalar/i);
    }
  });

  it("reads UTF-16 with a byte-order mark, as some shells write it, and UTF-8 with one", () => {
    const text = "\ufefftraining:\r\n  seed: 3\r\n";
    const little = Buffer.from(text, "utf16le");
    for (const bytes of [little, Buffer.from(little).swap16(), Buffer.from(text)]) {
      const file = join(folder, "encoded.yaml");
      writeFileSync(file, bytes);
      expect(loadConfig({ file, env: {} }).config.training.seed).toBe(3);
    }
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

  it("refuses parts of a batch where batch norm needs it whole", () => {
    const overrides = ["distributed.sync_batch_norm=true", "training.gradient_accumulation=2"];
    const { message } = failure(() => loadConfig({ env: {}, overrides }));
    expect(message).toContain("training.gradient_accumulation: 2");
    for (const accepted of overrides) expect(() => loadConfig({ env: {}, overrides: [accepted] })).not.toThrow();
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
