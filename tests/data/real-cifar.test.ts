import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createRng } from "../../src/base/rng.ts";
import { loadDataset } from "../../src/data/load.ts";
import { stratifiedSplit } from "../../src/data/split.ts";
import { verifyDataset } from "../../src/data/verify.ts";

const source = process.env.CIFAR_SOURCE;
const title = source === undefined ? " (set CIFAR_SOURCE to an archive or folder of CIFAR-10 to run this)" : "";

describe.skipIf(source === undefined)(`real CIFAR-10${title}`, () => {
  let dataDir: string;
  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), "real-cifar-"));
  });
  afterAll(() => rm(dataDir, { recursive: true, force: true }));

  it("has the published counts and channel statistics, also from the unpacked copy", { timeout: 300_000 }, async () => {
    const options = { name: "cifar10", source: source!, dataDir } as const;
    const dataset = await loadDataset(options);
    const report = verifyDataset(dataset);
    expect(report.problems).toEqual([]);
    expect(report.train.perClass).toEqual(new Array(10).fill(5000));
    expect(report.test.perClass).toEqual(new Array(10).fill(1000));
    expect(dataset.classes.slice(0, 3)).toEqual(["airplane", "automobile", "bird"]);
    [0.4914, 0.4822, 0.4465].forEach((mean, i) => {
      expect(report.train.channels.mean[i]).toBeCloseTo(mean, 3);
    });
    [0.247, 0.2435, 0.2616].forEach((std, i) => {
      expect(report.train.channels.std[i]).toBeCloseTo(std, 3);
    });
    const { train, validation } = stratifiedSplit(dataset.train.labels, { rng: createRng(0) });
    expect([train.length, validation.length]).toEqual([45_000, 5000]);
    expect((await loadDataset(options)).digest).toBe(dataset.digest);
  });
});
