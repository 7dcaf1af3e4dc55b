import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { floats, tensor } from "../../src/tensor/tensor.ts";
import { openSqlStore } from "../../src/tracking/sql/store.ts";
import { readCheckpoint } from "../../src/training/checkpoint.ts";

/** Files that the first version has written (at commit 169c4ac). */
const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "first-version-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it("opens a tracking database of the first version, and writes to it", async () => {
  const path = join(folder, "tracking.sqlite");
  await copyFile(fixture("first-version.db"), path);
  await using store = await openSqlStore({ path });
  const experiment = await store.getExperimentByName("first");
  const { items } = await store.searchRuns({
    experimentIds: [experiment!.experimentId],
    filter: "params.model = 'resnet9'",
  });
  expect(items).toMatchObject([
    {
      info: { runName: "old", status: "FINISHED", startTime: 1000, endTime: 2000 },
      data: { params: [{ key: "model", value: "resnet9" }], metrics: [{ key: "acc", value: 0.75, step: 2 }] },
    },
  ]);
  const { runId } = items[0]!.info;
  await store.logBatch(runId, { metrics: [{ key: "acc", value: 1, step: 3, timestamp: 1003 }] });
  const { items: history } = await store.getMetricHistory(runId, "acc");
  expect(history.map(({ value }) => value)).toEqual([0.5, 0.75, 1]);
});

it("reads a checkpoint of the first version", async () => {
  const { progress, state, bestWeights } = await readCheckpoint(fixture("first-version.safetensors"));
  expect(progress).toMatchObject({ fingerprint: "first", epoch: 2, step: 1, globalStep: 7 });
  expect(state).toEqual({
    "a.weight": floats([2, 3], [0, 1, 2, 3, 4, 7]),
    step: tensor("int32", [], Int32Array.of(7)),
    half: tensor("float16", [1], Uint16Array.of(0x3c00)),
  });
  expect(bestWeights).toEqual({ "a.weight": floats([2, 3], [6, 5, 4, 3, 2, 1]) });
});
