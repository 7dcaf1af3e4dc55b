import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { listBundles, newestBundle, readBundle, writeBundle } from "./bundle.ts";
import type { BundleMetadata } from "./bundle-metadata.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "bundles-"));
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

function metadata(overrides: Partial<BundleMetadata> = {}): Omit<BundleMetadata, "modelSha256"> {
  return {
    formatVersion: 1,
    name: "a_trainer_1",
    createdAt: "2026-01-01T00:00:00.000Z",
    model: { architecture: "a", parameterCount: 1, inputName: "images", outputName: "logits" },
    classes: ["x", "y"],
    preprocessing: { height: 1, width: 1, resize: "bilinear", mean: [0, 0, 0], std: [1, 1, 1] },
    dataset: { name: "d", synthetic: true, digest: "0" },
    metrics: {},
    calibration: { temperature: 1 },
    reference: { count: 0, classFrequency: [], meanConfidence: 0, confidenceHistogram: new Array(20).fill(0) },
    training: { seed: 0, epochs: 0, config: { a: { b: 1 } } },
    ...overrides,
  };
}

const modelBytes = Uint8Array.of(1, 2, 3, 4);
const write = (overrides: Partial<BundleMetadata> = {}) => {
  const data = metadata(overrides);
  return writeBundle({ directory: join(root, data.name), modelBytes, metadata: data });
};

describe("writeBundle", () => {
  it("writes what readBundle reads, and nothing else", async () => {
    const written = await write();
    expect(await readBundle(written.directory)).toEqual(written);
    expect(await readFile(written.modelPath)).toEqual(Buffer.from(modelBytes));
    expect(await readdir(root)).toEqual(["a_trainer_1"]);
    expect((await readdir(written.directory)).sort()).toEqual(["metadata.json", "model.onnx"]);
  });

  it("never overwrites, and leaves no temporary folder when it refuses", async () => {
    await write();
    await expect(write()).rejects.toMatchObject({ code: "BUNDLE_EXISTS" });
    await expect(write({ name: "b", classes: ["only one"] })).rejects.toThrow(/classes/);
    await expect(writeBundle({ directory: join(root, "other"), modelBytes, metadata: metadata() })).rejects.toThrow(
      /other and metadata.name a_trainer_1 differ/,
    );
    expect(await readdir(root)).toEqual(["a_trainer_1"]);
  });

  it("lets exactly one of several writers of the same name win", async () => {
    const results = await Promise.allSettled(Array.from({ length: 5 }, () => write()));
    expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    expect(await readdir(root)).toEqual(["a_trainer_1"]);
    await readBundle(join(root, "a_trainer_1"));
  });
});

describe("readBundle", () => {
  it("says that there is none", async () => {
    await expect(readBundle(join(root, "none"))).rejects.toMatchObject({
      code: "BUNDLE_NOT_FOUND",
      remedy: expect.stringContaining("train a model"),
    });
  });

  it.each([
    ["an altered model", "model.onnx", "other bytes", /model\.onnx is damaged: its SHA-256/],
    ["an empty model", "model.onnx", "", /model\.onnx is damaged: .*empty/],
    ["metadata that is no JSON", "metadata.json", "{", /metadata\.json is damaged: it is not valid JSON/],
    [
      "metadata of another shape",
      "metadata.json",
      '{"formatVersion": 2}',
      /metadata\.json is damaged: .*formatVersion/s,
    ],
  ])("names the file of %s and the remedy", async (_name, file, content, message) => {
    const { directory } = await write();
    await writeFile(join(directory, file), content);
    await expect(readBundle(directory)).rejects.toMatchObject({
      code: "BUNDLE_DAMAGED",
      message: expect.stringMatching(message),
      remedy: expect.stringContaining("restore"),
    });
  });

  it.each(["model.onnx", "metadata.json"])("names a missing %s", async (file) => {
    const { directory } = await write();
    await rm(join(directory, file));
    await expect(readBundle(directory)).rejects.toThrow(new RegExp(`${file} is damaged: the file is missing`));
  });
});

describe("listBundles and newestBundle", () => {
  it("sort by creation time, newest first, and report damaged folders", async () => {
    await write({ name: "old", createdAt: "2025-05-05T00:00:00.000Z" });
    await write({ name: "new", createdAt: "2026-05-05T00:00:00.000Z" });
    const middle = await write({ name: "middle", createdAt: "2025-12-05T00:00:00.000Z" });
    await rm(join(middle.directory, "metadata.json"));
    await mkdir(join(root, ".x.1.tmp"));
    await writeFile(join(root, "notes.txt"), "no bundle");
    const { bundles, damaged } = await listBundles(root);
    expect(bundles.map((bundle) => bundle.metadata.name)).toEqual(["new", "old"]);
    expect(damaged.map(({ directory }) => directory)).toEqual([middle.directory]);
    expect(damaged[0]!.error.code).toBe("BUNDLE_DAMAGED");
    expect((await newestBundle(root)).bundle?.metadata.name).toBe("new");
  });

  it("skip a newest bundle whose model was altered", async () => {
    await write({ name: "old", createdAt: "2025-05-05T00:00:00.000Z" });
    const { modelPath } = await write({ name: "new", createdAt: "2026-05-05T00:00:00.000Z" });
    await writeFile(modelPath, "altered");
    expect((await newestBundle(root)).bundle?.metadata.name).toBe("old");
    expect((await listBundles(root)).damaged).toHaveLength(1);
    expect((await listBundles(root, { check: "metadata" })).damaged).toHaveLength(0);
  });

  it("follow links, list a folder once, and call a link to nothing damaged", async () => {
    const elsewhere = join(root, "elsewhere");
    const models = join(root, "models");
    await mkdir(models);
    const data = metadata({ name: "linked" });
    await writeBundle({ directory: join(elsewhere, "linked"), modelBytes, metadata: data });
    await symlink(join(elsewhere, "linked"), join(models, "linked"));
    await symlink("linked", join(models, "latest"));
    await symlink("gone", join(models, "dangling"));
    const { bundles, damaged } = await listBundles(models);
    expect(bundles.map((bundle) => bundle.metadata.name)).toEqual(["linked"]);
    expect(damaged.map(({ error }) => error.message)).toEqual([expect.stringMatching(/dangling.*link/)]);
  });

  it("tell what newestBundle passed over", async () => {
    await write({ name: "old", createdAt: "2025-05-05T00:00:00.000Z" });
    const { modelPath, directory } = await write({ name: "new", createdAt: "2026-05-05T00:00:00.000Z" });
    await writeFile(modelPath, "altered");
    const { bundle, damaged } = await newestBundle(root);
    expect(bundle?.metadata.name).toBe("old");
    expect(damaged).toMatchObject([{ directory, error: { code: "BUNDLE_DAMAGED" } }]);
  });

  it("give nothing for a folder that does not exist", async () => {
    expect(await listBundles(join(root, "none"))).toEqual({ bundles: [], damaged: [] });
    expect(await newestBundle(join(root, "none"))).toEqual({ bundle: undefined, damaged: [] });
  });
});
