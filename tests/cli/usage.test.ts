import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { renderCommandReference } from "../../src/cli/reference.ts";
import { cifar } from "./in-process.ts";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "cli-usage-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Nothing of the folder that the tests run in. */
const empty = async (): Promise<string> => {
  const file = join(folder, "empty.yaml");
  await writeFile(file, "training: {checkpoint_dir: /nowhere/checkpoints}\n");
  return file;
};

describe("cifar", () => {
  it("has its help in docs/cli.md", async () => {
    const page = await readFile(new URL("../../docs/cli.md", import.meta.url), "utf8");
    expect(await renderCommandReference(), "run: node scripts/build.mjs && node scripts/generate-docs.mjs").toBe(page);
  });

  it("shows help and version as results", async () => {
    const help = await cifar("--help");
    expect(help.code).toBe(0);
    for (const name of ["up", "train", "evaluate", "predict", "serve", "data", "models", "doctor"]) {
      expect(help.out).toMatch(new RegExp(`^  ${name} `, "m"));
    }
    expect(await cifar("--version")).toMatchObject({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
  });

  it.each([
    [["trian"], "Did you mean train?"],
    [["train", "--jsno"], "Did you mean --json?"],
    [["data", "prepear"], "Did you mean prepare?"],
    [["predict"], "missing required argument 'file'"],
    [["evaluate", "--split", "all"], "Allowed choices are test, val"],
    [["predict", "x.png", "--top-k", "0"], "whole number of at least 1"],
  ])("refuses %j with exit code 2 and a hint", async (args, hint) => {
    const { code, out, err } = await cifar(...args);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toContain(hint);
  });

  it.each([
    [() => folder, "it is a folder"],
    [() => join(folder, "none", "x.png"), "there is no folder"],
    [() => "/dev/null", "it is a device"],
  ])("refuses an output file that can't be one, before it loads any image: %s", async (out, why) => {
    const { code, err } = await cifar("data", "preview", "--out", out(), "--set", "dataset.source=/nowhere");
    expect(code).toBe(2);
    expect(err).toContain(why);
  });

  it("calls a damaged model damaged, in choosing as in listing", async () => {
    const checkpoints = join(folder, "damaged-models");
    await mkdir(join(checkpoints, "models", "broken"), { recursive: true });
    await writeFile(join(checkpoints, "models", "broken", "metadata.json"), "{");
    const place = ["--set", `training.checkpoint_dir=${checkpoints}`];
    for (const command of [["serve"], ["evaluate"], ["predict", "x.png"]]) {
      const { code, err } = await cifar(...command, ...place);
      expect(code).toBe(1);
      expect(err).toMatch(/no model in .* can be used: .*broken.*is damaged: it is not valid JSON/);
      expect(err).toContain("code: BUNDLE_DAMAGED");
    }
    const listing = await cifar("models", "--bundles", ...place);
    expect(listing.err).toContain("damaged:");
    expect(listing.out).not.toContain("no model bundle");
  });

  it.each([
    [["--set", "training.batchsize=3"], "did you mean training.batch_size?"],
    [["--set", "training.batch_size=0"], "training.batch_size is 0 but must be a whole number >= 1"],
    [["--set", "training.batch_size"], "write it as section.key=value"],
    [["--set", "training.optimizer=adam"], "did you mean adamw?"],
    [["--preset", "quik"], "did you mean quick?"],
    [["--config", "/nowhere/config.yaml"], "/nowhere/config.yaml"],
  ])("refuses the configuration %j with exit code 2", async (args, hint) => {
    const { code, err } = await cifar("train", ...args);
    expect(code).toBe(2);
    expect(err).toContain(hint);
    expect(err).toMatch(/code: CONFIG_/);
    expect(err).not.toMatch(/\n {4}at /);
  });

  it.each(["models", "doctor", "evaluate", "data verify", "track sync", "up"])(
    "refuses a configuration file that is not there with %s, `~/` as the home folder",
    async (line) => {
      const { code, err } = await cifar(...line.split(" "), "--config=~/no-such-config.yaml");
      expect(code).toBe(2);
      expect(err).toContain(join(homedir(), "no-such-config.yaml"));
      expect(err).toContain("CONFIG_UNREADABLE");
    },
  );

  it("tells failures as JSON with --json, and where they come from with --debug", async () => {
    const args = ["evaluate", "--config", await empty(), "--json", "--debug"];
    const { code, out, err } = await cifar(...args);
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({
      type: "error",
      code: "BUNDLE_NOT_FOUND",
      remedy: expect.stringContaining("cifar train"),
    });
    expect(err).toMatch(/what to do: train one with `cifar train`.*\n {2}code: BUNDLE_NOT_FOUND\n.*\n {4}at /s);
  });

  it("gives a key all scopes, in one list or one by one, and predict where none is named", async () => {
    const scopesOf = async (...args: string[]) => JSON.parse((await cifar("key", "ci", "--json", ...args)).out).scopes;
    expect(await scopesOf()).toEqual(["predict"]);
    expect(await scopesOf("--scope", "admin")).toEqual(["admin"]);
    expect(await scopesOf("--scope", "predict,admin")).toEqual(["predict", "admin"]);
    expect(await scopesOf("--scope", "predict", "--scope", "admin")).toEqual(["predict", "admin"]);
  });

  it("refuses to resume what is not there", async () => {
    const { code, err } = await cifar("train", "--resume", "last", "--config", await empty());
    expect(code).toBe(2);
    expect(err).toContain("code: RUN_NOT_FOUND");
  });

  it("lists every architecture with its parameters", async () => {
    const { code, out } = await cifar("models", "--json");
    expect(code).toBe(0);
    expect(JSON.parse(out).models).toEqual(
      expect.arrayContaining([
        { name: "resnet9", family: "resnet9", parameters: 6_573_130, input_size: 32, weights: null },
        { name: "airbench", family: "airbench", parameters: 1_971_640, input_size: 32, weights: null },
        { name: "mobilenet_v2", family: "mobilenet", parameters: 2_236_682, input_size: 224, weights: "imagenet" },
        { name: "resnet18", family: "resnet", parameters: 11_181_642, input_size: 224, weights: "imagenet" },
        { name: "densenet121", family: "densenet", parameters: 6_964_106, input_size: 224, weights: "imagenet" },
        { name: "regnet_y_400mf", family: "regnet", parameters: 3_907_554, input_size: 224, weights: "imagenet" },
      ]),
    );
  });

  it("looks at data without training: prepare, verify, preview", async () => {
    const synthetic = ["--set", "dataset.source=synthetic", "--json"];
    const prepared = await cifar("data", "prepare", ...synthetic);
    expect(JSON.parse(prepared.out)).toMatchObject({ synthetic: true, train: 5000, test: 1000 });
    const verified = await cifar("data", "verify", ...synthetic);
    expect(verified.code).toBe(0);
    expect(JSON.parse(verified.out)).toMatchObject({ synthetic: true, problems: [], testInTrain: 0 });
    const file = join(folder, "sheet.png");
    const sheet = await cifar("data", "preview", "--set", "dataset.source=synthetic", "--out", file);
    expect(sheet).toMatchObject({ code: 0, out: expect.stringContaining("SYNTHETIC") });
    expect((await readFile(file)).subarray(1, 4).toString()).toBe("PNG");
  });

  it("lists the unpacked copies in the data folder", async () => {
    const dataDir = join(folder, "copies");
    const copy = join(dataDir, "cifar10-0123456789ab");
    const place = ["--set", `dataset.data_dir=${dataDir}`];
    expect((await cifar("data", "list", ...place)).out).toContain("no unpacked copy in");
    await mkdir(copy, { recursive: true });
    const archives = [{ path: "/some/where.tar.gz", key: "" }];
    const md5 = "0123456789abcdef0123456789abcdef";
    await writeFile(join(copy, "complete.json"), JSON.stringify({ version: 2, name: "cifar10", md5, archives }));
    await writeFile(join(copy, "test_batch.bin"), Buffer.alloc(3_000_000));
    expect((await cifar("data", "list", ...place)).out).toMatch(
      /cifar10 +.*cifar10-0123456789ab +\S+ M\w* +\/some\/where/,
    );
    const { copies } = JSON.parse((await cifar("data", "list", "--json", ...place)).out);
    expect(copies).toMatchObject([{ name: "cifar10", folder: copy, archives: ["/some/where.tar.gz"] }]);
  });

  it("finds out what is missing, with the remedy", async () => {
    const { out } = await cifar("doctor", "--json", "--set", "dataset.source=/nowhere/cifar.tar.gz");
    const { healthy, findings } = JSON.parse(out);
    expect(healthy).toBe(false);
    expect(findings).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ name: "node", status: "ok" }),
        expect.objectContaining({
          name: "images",
          status: "problem",
          remedy: expect.stringContaining("dataset.source"),
        }),
      ]),
    );
  });

  it("up refuses a taken port before it does anything else", async () => {
    const other = createServer();
    await new Promise<void>((resolve) => {
      other.listen(0, "127.0.0.1", resolve);
    });
    const { port } = other.address() as AddressInfo;
    const { code, err } = await cifar("up", "--config", await empty(), "--port", `${port}`);
    other.close();
    expect(code).toBe(1);
    expect(err).toContain(`cannot listen on 127.0.0.1 port ${port}: another program uses it`);
    expect(err).toMatch(/what to do: .*--port\n {2}code: ADDRESS_UNAVAILABLE/);
  });

  it("up without a model and without leave to train says so", async () => {
    const { code, err } = await cifar("up", "--no-train", "--config", await empty(), "--port", "0");
    expect(code).toBe(1);
    expect(err).toContain("code: BUNDLE_NOT_FOUND");
  });
});
