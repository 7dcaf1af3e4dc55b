import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { extractMembers } from "../../src/data/archive.ts";
import { download } from "../../src/data/download.ts";
import { createRunFolder, findRun, listRuns, runsDirectory, updateRun } from "../../src/experiments/run-folder.ts";
import { writeBundle } from "../../src/inference/bundle.ts";
import { floats } from "../../src/tensor/tensor.ts";
import { openSqlStore } from "../../src/tracking/sql/store.ts";
import { type Checkpoint, loadCheckpoint, saveCheckpoint } from "../../src/training/checkpoint.ts";
import { nothingYet } from "../../src/training/early-stopping.ts";
import { tinyMetadata } from "../api/tiny-bundle.ts";
import { startCli } from "../cli/run-cli.ts";
import { fill, mountSmallDisk } from "../small-disk.ts";

vi.setConfig({ testTimeout: 120_000 });

const { path: disk, isMounted: mounted, unmount } = mountSmallDisk();
const elsewhere = mkdtempSync(join(tmpdir(), "large-disk-"));
const large = 4 * 1024 ** 2;

afterEach(() => {
  for (const name of readdirSync(disk)) rmSync(join(disk, name), { recursive: true });
});
afterAll(() => {
  unmount();
  rmSync(elsewhere, { recursive: true });
});

const checkpoint = (globalStep: number, values: number): Checkpoint => ({
  progress: {
    formatVersion: 1,
    fingerprint: "abc",
    epoch: 1,
    step: 0,
    globalStep,
    running: { loss: 0, correct: 0, images: 0, seconds: 0 },
    best: nothingYet,
  },
  state: { weight: floats([values], new Float32Array(values)) },
  bestWeights: {},
});

const title = mounted ? "a full disk" : "a full disk (skipped: this user can't mount a small one)";
describe.skipIf(!mounted)(title, () => {
  it("is told as such by unpacking, not as a damaged archive", async () => {
    const tar = pack();
    tar.entry({ name: "set/a.bin" }, randomBytes(large));
    tar.finalize();
    const archive = join(elsewhere, "a.tar.gz");
    writeFileSync(archive, gzipSync(await buffer(tar)));
    const members = new Map([["a.bin", large]]);
    await expect(extractMembers(archive, disk, { folder: "set", members, maxFreeBytes: 0 })).rejects.toMatchObject({
      code: "STORAGE_FAILED",
      message: expect.stringContaining("the disk is full"),
    });
  });

  it("is told as such by a download, at once", async () => {
    const server = createServer((_, response) => response.end(randomBytes(large)));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/a`;
    const checksum = { algorithm: "md5", hex: "00" } as const;
    await expect(download({ url, file: join(disk, "a"), checksum })).rejects.toMatchObject({ code: "STORAGE_FAILED" });
    server.close();
  });

  it("leaves nothing of a checkpoint that does not fit, and the one before whole", async () => {
    await saveCheckpoint(disk, checkpoint(1, 1000));
    await expect(saveCheckpoint(disk, checkpoint(2, large / 4))).rejects.toMatchObject({ code: "STORAGE_FAILED" });
    expect(readdirSync(disk)).toEqual(["last.safetensors"]);
    expect((await loadCheckpoint(disk)).checkpoint.progress.globalStep).toBe(1);
  });

  it("is told as such by a tracking store, which goes on when there is room", async () => {
    await using store = await openSqlStore({ path: join(disk, "tracking.sqlite") });
    const experiment = await store.createExperiment("full");
    const { runId } = (await store.createRun(experiment.experimentId, { startTime: 0 })).info;
    const filler = join(disk, "filler");
    fill(filler);
    const log = (step: number) =>
      store.logBatch(runId, {
        metrics: Array.from({ length: 1000 }, (_, i) => ({ key: `m${i}`, value: i, step, timestamp: step })),
      });
    const logUntilFull = async () => {
      for (let step = 1; ; step++) await log(step);
    };
    await expect(logUntilFull()).rejects.toMatchObject({
      code: "STORAGE_FAILED",
      message: expect.stringContaining("the disk is full"),
    });
    rmSync(filler);
    await log(1_000_000);
    await store.updateRun(runId, { status: "FINISHED", endTime: 1 });
    expect((await store.getRun(runId)).info.status).toBe("FINISHED");
  });

  it("leaves nothing of a model bundle that does not fit", async () => {
    const metadata = tinyMetadata();
    const directory = join(disk, "models", metadata.name);
    const written = writeBundle({ directory, modelBytes: randomBytes(large), metadata });
    await expect(written).rejects.toMatchObject({ code: "STORAGE_FAILED" });
    expect(readdirSync(join(disk, "models"))).toEqual([]);
  });

  const train = (places: readonly string[], onLine?: (line: string) => void) => {
    const settings = [
      ...["dataset.source=synthetic", "dataset.limit=400", "model.name=airbench", "training.num_epochs=1"],
      ...["training.batch_size=120", "model.airbench.whitening_samples=200", "training.fast_dev=true", ...places],
    ];
    const args = ["train", ...settings.flatMap((setting) => ["--set", setting]), ...(onLine ? ["--json"] : [])];
    return startCli(args, { cwd: elsewhere, ...(onLine === undefined ? {} : { onLine }) }).ended;
  };

  it("ends a training as failed, on the command line, in its record and in the tracking store", async () => {
    const { code, stderr } = await train([
      `training.checkpoint_dir=${disk}`,
      `mlflow.tracking_uri=sqlite:///${join(elsewhere, "runs.sqlite")}`,
    ]);
    expect(stderr).toMatch(/the disk is full[\s\S]*code: STORAGE_FAILED/);
    expect(code).toBe(1);
    const [name] = readdirSync(join(disk, "runs"));
    const record = JSON.parse(readFileSync(join(disk, "runs", name!, "run.json"), "utf8"));
    expect(record.status).toBe("failed");
    expect(readdirSync(join(disk, "runs", name!)).filter((file) => /partial|tmp|lock/.test(file))).toEqual([]);
    await using store = await openSqlStore({ path: join(elsewhere, "runs.sqlite") });
    expect((await store.getRun(record.trackingRunId)).info.status).toBe("FAILED");
  });

  it("under the tracking store ends no training; how it ended is told when there is room, by the next one at the latest", async () => {
    const folder = join(elsewhere, "untold");
    const places = [`training.checkpoint_dir=${folder}`, `mlflow.tracking_uri=sqlite:///${join(disk, "runs.sqlite")}`];
    const filler = join(disk, "filler");
    const isFull = { value: false };
    const { code, stdout } = await train(places, (line) => {
      if (isFull.value || !line.includes('"type":"run"')) return;
      isFull.value = true;
      fill(filler);
    });
    expect(code).toBe(0);
    expect(stdout).toContain("the disk is full");
    const records = async () => (await listRuns(join(folder, "runs"))).map(({ record }) => record);
    const [first] = await records();
    expect(first!.status).toBe("finished");
    rmSync(filler);
    const statusOf = async (id: string | undefined) => {
      await using store = await openSqlStore({ path: join(disk, "runs.sqlite") });
      return (await store.getRun(id!)).info.status;
    };
    expect(await statusOf(first!.trackingRunId)).toBe(first!.isEndUntold ? "RUNNING" : "FINISHED");
    expect((await train(places)).code).toBe(0);
    expect(await statusOf(first!.trackingRunId)).toBe("FINISHED");
    expect((await records()).map(({ status, isEndUntold }) => [status, isEndUntold])).toEqual([
      ["finished", undefined],
      ["finished", undefined],
    ]);
  });

  it("leaves nothing of a run's record behind, which still says how the run ended", async () => {
    const config = loadConfig({ overrides: [`training.checkpoint_dir=${disk}`], env: {} }).config;
    const run = await createRunFolder(config, new Date(0));
    const before = readdirSync(run.directory);
    fill(join(disk, "filler"));
    await updateRun(run, { status: "stopped" });
    expect((await findRun(runsDirectory(config), "last")).record).toEqual({ ...run.record, status: "stopped" });
    expect(readdirSync(run.directory)).toEqual(before);
  });
});
