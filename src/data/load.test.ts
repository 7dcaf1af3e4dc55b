import { createWriteStream } from "node:fs";
import { copyFile, mkdir, mkdtemp, readdir, rm, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { createGzip, gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cifarFiles, cifarFormats } from "./cifar.ts";
import { listCopies } from "./cifar-copies.ts";
import { fetchDataset, type LoadDatasetOptions, loadDataset } from "./load.ts";
import type { DataProgress } from "./progress.ts";

let root: string;
let archive: string;

const wholeSize = cifarFiles(cifarFormats.cifar10);

/** A whole archive in the official layout: black images of class 0. */
async function writeArchive(path: string, change: (file: string, content: Buffer) => Buffer = (_file, same) => same) {
  const tar = pack();
  const written = pipeline(tar, createGzip({ level: 1 }), createWriteStream(path));
  for (const [file, size] of wholeSize) {
    const names = Buffer.from(Array.from({ length: 10 }, (_, i) => `class ${i}\n`).join(""));
    tar.entry({ name: `cifar-10-batches-bin/${file}` }, change(file, size === undefined ? names : Buffer.alloc(size)));
  }
  tar.finalize();
  await written;
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "load-"));
  archive = join(root, "black.tar.gz");
  await writeArchive(archive);
});

afterAll(() => rm(root, { recursive: true, force: true }));

const load = (options: Partial<LoadDatasetOptions>) =>
  loadDataset({ name: "cifar10", source: "official", dataDir: join(root, "data"), ...options });

describe("loadDataset", () => {
  it("unpacks an archive once and reads the copy afterwards, whatever the archive's name and time", async () => {
    const dataDir = join(root, "once");
    const stages: DataProgress["stage"][] = [];
    const options = { source: archive, dataDir, onProgress: ({ stage }: DataProgress) => stages.push(stage) };
    const first = await load(options);
    expect(first).toMatchObject({ name: "cifar10", synthetic: false, origin: archive, height: 32, width: 32 });
    expect([first.train.count, first.test.count, first.classes.length]).toEqual([50_000, 10_000, 10]);
    expect(stages.length).toBeGreaterThan(0);
    const folders = await readdir(dataDir);
    expect(folders).toEqual([expect.stringMatching(/^cifar10-[0-9a-f]{12}$/)]);

    stages.length = 0;
    const second = await load({ ...options, limit: 100 });
    expect(stages).toEqual([]);
    expect([second.train.count, second.train.images.length, second.test.count]).toEqual([100, 307_200, 10_000]);
    expect(second.digest).not.toBe(first.digest);

    await utimes(archive, new Date(), new Date(1_000_000_000_000));
    expect((await load(options)).digest).toBe(first.digest);
    const renamed = join(root, "renamed.tar.gz");
    await copyFile(archive, renamed);
    expect((await load({ ...options, source: renamed })).digest).toBe(first.digest);
    expect(stages).toEqual([]);
    expect(await readdir(dataDir)).toEqual(folders);
    await rm(renamed);

    const copy = join(dataDir, (await readdir(dataDir))[0]!);
    expect((await load({ source: copy })).digest).toBe(first.digest);
    for (const folder of await readdir(dataDir)) await truncate(join(dataDir, folder, "test_batch.bin"), 5000);
    await expect(load(options)).rejects.toMatchObject({
      code: "DATA_CORRUPT",
      message: expect.stringMatching(
        /copy in .* is damaged: .*test_batch\.bin breaks off .*byte 5000.*delete the folder/,
      ),
    });
  });

  it("removes the copies of archives that have changed, and those that are not known by their content", async () => {
    const dataDir = join(root, "pruned");
    const source = join(root, "changing.tar.gz");
    await copyFile(archive, source);
    await load({ source, dataDir });
    const [first] = await readdir(dataDir);
    const old = join(dataDir, "cifar10-0123456789ab");
    const official = join(dataDir, "cifar10-c32a1d4ab5d0");
    for (const folder of [old, official]) {
      await mkdir(folder);
      await writeFile(join(folder, "complete.json"), JSON.stringify({ version: 1, name: "cifar10", archive: source }));
    }
    await writeArchive(source, (file, content) => (file === "data_batch_1.bin" ? content.fill(1, 1, 2) : content));
    await load({ source, dataDir });
    const left = (await listCopies(dataDir)).map(({ folder }) => folder);
    expect(left).toHaveLength(2);
    expect(left).toContain(official);
    expect(left).not.toContain(join(dataDir, first!));
  });

  it("keeps nothing of an archive with wrong records", async () => {
    const wrong = join(root, "wrong.tar.gz");
    await writeArchive(wrong, (file, content) => {
      if (file === "data_batch_5.bin") content[3073 * 7] = 77;
      return content;
    });
    const dataDir = join(root, "wrong");
    await expect(load({ source: wrong, dataDir })).rejects.toThrow(
      /wrong\.tar\.gz: cifar-10-batches-bin\/data_batch_5\.bin has label 77 at byte offset 21511 \(record 7\)/,
    );
    expect(await readdir(dataDir)).toEqual([]);
  });

  it("names what to fetch, where to put it and the alternatives when offline", async () => {
    await expect(load({ offline: true })).rejects.toMatchObject({
      code: "DATA_UNAVAILABLE",
      message: expect.stringMatching(
        /switched off.*cifar-10-binary\.tar\.gz elsewhere and put it at .*dataset\.source=PATH.*CIFAR_SOURCE.*synthetic/,
      ),
    });
  });

  it("fetches without reading a single image", async () => {
    const dataDir = join(root, "fetched");
    const options = { name: "cifar10", source: "official", dataDir, offline: true } as const;
    await expect(fetchDataset(options)).rejects.toMatchObject({ code: "DATA_UNAVAILABLE" });
    await fetchDataset({ ...options, source: archive });
    const copy = join(dataDir, "cifar10-c32a1d4ab5d0");
    await mkdir(copy, { recursive: true });
    await writeFile(join(copy, "complete.json"), JSON.stringify({ version: 1, name: "cifar10", archive }));
    await fetchDataset(options);
    await expect(loadDataset(options)).rejects.toMatchObject({ code: "DATA_CORRUPT" });
  });

  it("says so when the download is impossible", async () => {
    const archiveUrl = "file:///nowhere";
    await expect(load({ archiveUrl, dataDir: join(root, "none") })).rejects.toMatchObject({ code: "DATA_UNAVAILABLE" });
  });

  it("does not take a file in the official archive's place for it", async () => {
    const dataDir = join(root, "fake");
    await mkdir(dataDir);
    await writeFile(join(dataDir, "cifar-100-binary.tar.gz"), "half a download");
    await expect(load({ name: "cifar100", dataDir, offline: true })).rejects.toMatchObject({
      code: "DATA_CORRUPT",
      message: expect.stringMatching(/its MD5 is not 03b5dce/),
    });
  });

  it("refuses paths that hold something else", async () => {
    await expect(load({ source: join(root, "nowhere.tar.gz") })).rejects.toMatchObject({
      code: "DATA_UNAVAILABLE",
      message: expect.stringMatching(/cannot find .*nowhere/),
    });
    const other = join(root, "other");
    await mkdir(other);
    await expect(load({ source: other })).rejects.toThrow(/does not hold CIFAR-10 in its binary layout/);
    await writeFile(join(other, "fine_label_names.txt"), "x");
    await expect(load({ source: other })).rejects.toThrow(/holds CIFAR-100, not CIFAR-10; set dataset\.name=cifar100/);
    await expect(load({ name: "cifar100", source: archive })).rejects.toThrow(
      /lacks cifar-100-binary.*it holds cifar-10-batches-bin.*set dataset\.name=cifar10$/,
    );
    const python = pack();
    python.entry({ name: "cifar-10-batches-py/data_batch_1" }, "x");
    python.finalize();
    const pythonVersion = join(root, "cifar-10-python.tar.gz");
    await writeFile(pythonVersion, gzipSync(await buffer(python)));
    await expect(load({ source: pythonVersion })).rejects.toThrow(
      /cifar-10-batches-py.*the Python or the Matlab version: give the binary version, cifar-10-binary\.tar\.gz/,
    );
    await expect(load({ name: "folder" })).rejects.toThrow(/no official download/);
  });

  it("gives synthetic data only when asked to", async () => {
    const dataset = await load({ source: "synthetic", limit: 50 });
    expect(dataset).toMatchObject({ name: "synthetic", synthetic: true, origin: "generated" });
    expect([dataset.train.count, dataset.test.count]).toEqual([50, 1000]);
    await expect(load({ source: "synthetic", limit: 0 })).rejects.toThrow(/dataset\.limit is 0/);
  });
});
