import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isPipelineError } from "../../src/base/errors.ts";
import type { RunCondition, RunOrder, TrackingStore } from "../../src/tracking/store.ts";
import { trackingLimits } from "../../src/tracking/types.ts";

export interface StoreFixture {
  /** An empty store. */
  readonly open: () => Promise<TrackingStore>;
  /** Opens the store of the last `open` again, after it was closed. */
  readonly reopen: () => Promise<TrackingStore>;
}

const code = (expected: string) => expect.objectContaining({ code: expected });
const metric = (key: string, value: number, step = 0, timestamp = 1000) => ({ key, value, step, timestamp });

/** What every tracking store must do; run it over each implementation. */
export function describeTrackingStore(name: string, fixture: StoreFixture): void {
  describe(`${name}: a tracking store`, () => {
    let store: TrackingStore;
    beforeEach(async () => {
      store = await fixture.open();
    });
    afterEach(() => store.close());

    describe("experiments", () => {
      it("has experiment 0, Default, from the start", async () => {
        expect(await store.getExperiment("0")).toMatchObject({ name: "Default", lifecycleStage: "active", tags: [] });
        expect(await store.listExperiments()).toHaveLength(1);
      });

      it("creates and finds by name and id", async () => {
        const made = await store.createExperiment("cifär 10", { tags: [{ key: "team", value: "a" }] });
        expect(made.artifactLocation).toBe(`mlflow-artifacts:/${made.experimentId}`);
        expect(made.tags).toEqual([{ key: "team", value: "a" }]);
        expect(await store.getExperimentByName("cifär 10")).toEqual(made);
        expect(await store.getExperiment(made.experimentId)).toEqual(made);
        expect((await store.listExperiments()).map(({ name }) => name)).toEqual(["cifär 10", "Default"]);
        expect(await store.getExperimentByName("other")).toBeUndefined();
      });

      it("refuses a taken, empty or too long name and an unknown id", async () => {
        await store.createExperiment("a");
        await expect(store.createExperiment("a")).rejects.toEqual(code("TRACKING_EXISTS"));
        await expect(store.createExperiment(" ")).rejects.toEqual(code("TRACKING_INVALID"));
        await expect(store.createExperiment("x".repeat(501))).rejects.toEqual(code("TRACKING_INVALID"));
        for (const id of ["99", "-1", "1 OR 1=1", ""])
          await expect(store.getExperiment(id), id).rejects.toEqual(code("TRACKING_NOT_FOUND"));
      });
    });

    describe("runs", () => {
      it("starts running with id, name, user, tags and artifact place", async () => {
        const run = await store.createRun("0", {
          runName: "first",
          userId: "ada",
          startTime: 5,
          tags: [{ key: "k", value: "v" }],
        });
        expect(run.info.runId).toMatch(/^[0-9a-f]{32}$/);
        expect(run.info).toMatchObject({
          status: "RUNNING",
          runName: "first",
          userId: "ada",
          startTime: 5,
          endTime: undefined,
        });
        expect(run.info.artifactUri).toBe(`mlflow-artifacts:/0/${run.info.runId}/artifacts`);
        expect(run.data.tags).toEqual([
          { key: "k", value: "v" },
          { key: "mlflow.runName", value: "first" },
        ]);
        expect(await store.getRun(run.info.runId)).toEqual(run);
        await expect(store.createRun("77")).rejects.toEqual(code("TRACKING_NOT_FOUND"));
      });

      it("names a run that has no name and keeps name and tag mlflow.runName together", async () => {
        const { info } = await store.createRun("0");
        expect(info.runName).toMatch(/^run-/);
        await store.setTag(info.runId, { key: "mlflow.runName", value: "tagged" });
        expect((await store.getRun(info.runId)).info.runName).toBe("tagged");
        const updated = await store.updateRun(info.runId, { runName: "updated" });
        expect(updated.info.runName).toBe("updated");
        expect(updated.data.tags).toEqual([{ key: "mlflow.runName", value: "updated" }]);
        await expect(store.deleteTag(info.runId, "mlflow.runName")).rejects.toEqual(code("TRACKING_INVALID"));
      });

      it("has an end if and only if it is over", async () => {
        const { runId } = (await store.createRun("0")).info;
        await expect(store.updateRun(runId, { endTime: 9 })).rejects.toEqual(code("TRACKING_INVALID"));
        expect((await store.updateRun(runId, { status: "FINISHED", endTime: 9 })).info).toMatchObject({
          status: "FINISHED",
          endTime: 9,
        });
        expect((await store.updateRun(runId, { status: "RUNNING" })).info.endTime).toBeUndefined();
        const before = Date.now();
        const failed = (await store.updateRun(runId, { status: "FAILED" })).info;
        expect(failed.endTime).toBeGreaterThanOrEqual(before);
        await expect(store.updateRun(runId, { status: "DONE" as never })).rejects.toEqual(code("TRACKING_INVALID"));
        await expect(store.updateRun("f".repeat(32), {})).rejects.toEqual(code("TRACKING_NOT_FOUND"));
      });

      it("deletes and restores; a deleted run takes no more data", async () => {
        const { runId } = (await store.createRun("0")).info;
        await store.deleteRun(runId);
        expect((await store.getRun(runId)).info.lifecycleStage).toBe("deleted");
        await expect(store.logBatch(runId, { metrics: [metric("a", 1)] })).rejects.toEqual(code("TRACKING_INVALID"));
        expect((await store.searchRuns({ experimentIds: ["0"] })).runs).toHaveLength(0);
        expect((await store.searchRuns({ experimentIds: ["0"], view: "deleted" })).runs).toHaveLength(1);
        await store.restoreRun(runId);
        await store.logBatch(runId, { metrics: [metric("a", 1)] });
        expect((await store.getRun(runId)).data.metrics).toEqual([metric("a", 1)]);
        await expect(store.deleteRun("nope")).rejects.toEqual(code("TRACKING_NOT_FOUND"));
      });
    });

    describe("batches", () => {
      let runId: string;
      beforeEach(async () => {
        runId = (await store.createRun("0")).info.runId;
      });

      it("keeps every point in order and the latest by step, then time, then value", async () => {
        const points = [
          metric("loss", 3, 0, 30),
          metric("loss", 1, 2, 10),
          metric("loss", 2, 1, 20),
          metric("loss", 5, 2, 10),
        ];
        await store.logBatch(runId, { metrics: points });
        await store.logBatch(runId, { metrics: [metric("loss", 9, 1, 99)] });
        expect((await store.getMetricHistory(runId, "loss")).map(({ value }) => value)).toEqual([1, 5, 2, 3, 9]);
        expect((await store.getRun(runId)).data.metrics).toEqual([metric("loss", 5, 2, 10)]);
        expect(await store.getMetricHistory(runId, "unknown")).toEqual([]);
        await expect(store.getMetricHistory("nope", "loss")).rejects.toEqual(code("TRACKING_NOT_FOUND"));
      });

      it("takes the same point twice as one, so that a batch can be sent again", async () => {
        const batch = {
          metrics: [metric("a", 0.1), metric("a", 0.1)],
          params: [{ key: "p", value: "1" }],
          tags: [{ key: "t", value: "x" }],
        };
        await store.logBatch(runId, batch);
        await store.logBatch(runId, batch);
        expect(await store.getMetricHistory(runId, "a")).toHaveLength(1);
        expect((await store.getRun(runId)).data.params).toEqual([{ key: "p", value: "1" }]);
      });

      it("keeps doubles exactly, NaN as NaN and infinities as the largest number", async () => {
        const values = [0.1 + 0.2, -0, 5e-324, Number.MAX_VALUE, 1e15, Number.NaN, Infinity, -Infinity];
        await store.logBatch(runId, { metrics: values.map((value, step) => metric("v", value, step, step)) });
        const stored = (await store.getMetricHistory(runId, "v")).map(({ value }) => value);
        expect(stored.map((value) => (value === 0 ? 0 : value))).toEqual([
          0.1 + 0.2,
          0,
          5e-324,
          Number.MAX_VALUE,
          1e15,
          Number.NaN,
          Number.MAX_VALUE,
          -Number.MAX_VALUE,
        ]);
        await store.logBatch(runId, { metrics: [metric("last", Number.NaN, 3)] });
        expect((await store.getRun(runId)).data.metrics.find(({ key }) => key === "last")?.value).toBeNaN();
      });

      it("writes params once", async () => {
        await store.logBatch(runId, { params: [{ key: "lr", value: "0.1" }] });
        await store.logBatch(runId, { params: [{ key: "lr", value: "0.1" }] });
        await expect(store.logBatch(runId, { params: [{ key: "lr", value: "0.2" }] })).rejects.toEqual(
          code("TRACKING_INVALID"),
        );
        const twice = [
          { key: "b", value: "1" },
          { key: "b", value: "2" },
        ];
        await expect(store.logBatch(runId, { params: twice })).rejects.toEqual(code("TRACKING_INVALID"));
        expect((await store.getRun(runId)).data.params).toEqual([{ key: "lr", value: "0.1" }]);
      });

      it("overwrites and deletes tags", async () => {
        await store.setTag(runId, { key: "t", value: "1" });
        await store.setTag(runId, { key: "t", value: "2" });
        expect((await store.getRun(runId)).data.tags).toContainEqual({ key: "t", value: "2" });
        await store.deleteTag(runId, "t");
        expect((await store.getRun(runId)).data.tags.map(({ key }) => key)).toEqual(["mlflow.runName"]);
        await expect(store.deleteTag(runId, "t")).rejects.toEqual(code("TRACKING_NOT_FOUND"));
      });

      it("writes all of a batch or nothing", async () => {
        await store.logBatch(runId, { params: [{ key: "p", value: "1" }] });
        const bad = { metrics: [metric("m", 1)], tags: [{ key: "t", value: "1" }], params: [{ key: "p", value: "2" }] };
        await expect(store.logBatch(runId, bad)).rejects.toEqual(code("TRACKING_INVALID"));
        const { data } = await store.getRun(runId);
        expect(data.metrics).toEqual([]);
        expect(data.tags.map(({ key }) => key)).toEqual(["mlflow.runName"]);
      });

      it("holds its limits and accepts exactly up to them", async () => {
        const { keyLength, paramValueLength, tagValueLength, metricsPerBatch, paramsPerBatch } = trackingLimits;
        const many = (count: number) => Array.from({ length: count }, (_, step) => metric("m", step, step));
        const params = (count: number) => Array.from({ length: count }, (_, i) => ({ key: `p${i}`, value: "" }));
        await store.logBatch(runId, { metrics: many(metricsPerBatch) });
        await store.logBatch(runId, { params: params(paramsPerBatch) });
        await store.logBatch(runId, { params: [{ key: "k".repeat(keyLength), value: "v".repeat(paramValueLength) }] });
        await store.setTag(runId, { key: "long", value: "v".repeat(tagValueLength) });
        for (const batch of [
          { metrics: many(metricsPerBatch + 1) },
          { params: params(paramsPerBatch + 1) },
          { metrics: many(950), params: params(60) },
          { params: [{ key: "k".repeat(keyLength + 1), value: "" }] },
          { params: [{ key: "k", value: "v".repeat(paramValueLength + 1) }] },
          { tags: [{ key: "k", value: "v".repeat(tagValueLength + 1) }] },
          { metrics: [metric("", 1)] },
          { metrics: [metric("a\nb", 1)] },
          { metrics: [metric("../a", 1)] },
          { metrics: [metric("a", 1, 0.5)] },
          { metrics: [metric("a", 1, 0, Number.NaN)] },
          { metrics: [{ ...metric("a", 1), value: "1" as never }] },
        ])
          await expect(store.logBatch(runId, batch), JSON.stringify(batch).slice(0, 60)).rejects.toEqual(
            code("TRACKING_INVALID"),
          );
        await expect(store.logBatch("nope", {})).rejects.toEqual(code("TRACKING_NOT_FOUND"));
      });

      it("serves many writers at once", async () => {
        const writes = Array.from({ length: 50 }, (_, step) =>
          store.logBatch(runId, { metrics: [metric("m", step, step)] }),
        );
        await Promise.all(writes);
        expect(await store.getMetricHistory(runId, "m")).toHaveLength(50);
      });
    });

    describe("search", () => {
      const ids: Record<string, string> = {};
      beforeEach(async () => {
        for (const [index, [runName, acc, model]] of (
          [
            ["a", 0.9, "resnet9"],
            ["b", 0.94, "airbench"],
            ["c", Number.NaN, "Airbench"],
            ["d", undefined, undefined],
          ] as const
        ).entries()) {
          const { info } = await store.createRun("0", { runName, startTime: index });
          ids[runName] = info.runId;
          await store.logBatch(info.runId, {
            metrics: acc === undefined ? [] : [metric("acc", 0.99, 0), metric("acc", acc, 1)],
            params: model === undefined ? [] : [{ key: "model", value: model }],
            tags: [{ key: "note", value: `x_${runName}%` }],
          });
        }
        await store.updateRun(ids.a!, { status: "FINISHED", endTime: 100 });
      });

      const names = async (filter: readonly RunCondition[], orderBy: readonly RunOrder[] = []): Promise<string> =>
        (await store.searchRuns({ experimentIds: ["0"], filter, orderBy })).runs
          .map(({ info }) => info.runName)
          .join("");

      it.each<[string, RunCondition, string]>([
        ["latest metric", { entity: "metric", key: "acc", comparator: ">", value: 0.92 }, "b"],
        ["NaN matches nothing", { entity: "metric", key: "acc", comparator: "<=", value: 1 }, "ba"],
        ["param", { entity: "param", key: "model", comparator: "=", value: "airbench" }, "b"],
        [
          "a missing param matches no comparison",
          { entity: "param", key: "model", comparator: "!=", value: "x" },
          "cba",
        ],
        ["like minds case", { entity: "param", key: "model", comparator: "like", value: "air%" }, "b"],
        ["ilike does not", { entity: "param", key: "model", comparator: "ilike", value: "AIR_ench" }, "cb"],
        ["glob characters are plain", { entity: "tag", key: "note", comparator: "like", value: "*" }, ""],
        ["in", { entity: "tag", key: "note", comparator: "in", value: ["x_a%", "x_d%"] }, "da"],
        ["in nothing", { entity: "tag", key: "note", comparator: "in", value: [] }, ""],
        ["not in nothing", { entity: "tag", key: "note", comparator: "not in", value: [] }, "dcba"],
        ["status", { entity: "attribute", key: "status", comparator: "=", value: "FINISHED" }, "a"],
        ["start time", { entity: "attribute", key: "start_time", comparator: ">=", value: 2 }, "dc"],
        ["quotes are plain", { entity: "param", key: "model' OR 1=1 --", comparator: "=", value: "' OR 1=1 --" }, ""],
      ])("filters: %s", async (_, condition, expected) => {
        expect(await names([condition])).toBe(expected);
      });

      it("joins conditions by and", async () => {
        const both: RunCondition[] = [
          { entity: "metric", key: "acc", comparator: ">", value: 0.5 },
          { entity: "param", key: "model", comparator: "!=", value: "airbench" },
        ];
        expect(await names(both)).toBe("a");
      });

      it("refuses comparisons of the wrong kind", async () => {
        for (const condition of [
          { entity: "metric", key: "acc", comparator: ">", value: "0.9" },
          { entity: "metric", key: "acc", comparator: "like", value: "9" },
          { entity: "param", key: "model", comparator: "=", value: 1 },
          { entity: "param", key: "model", comparator: "<", value: "a" },
        ] satisfies RunCondition[])
          await expect(names([condition])).rejects.toEqual(code("TRACKING_INVALID"));
      });

      it("orders with NaN and then missing values last, both ways", async () => {
        expect(await names([], [{ entity: "metric", key: "acc", direction: "descending" }])).toBe("bacd");
        expect(await names([], [{ entity: "metric", key: "acc", direction: "ascending" }])).toBe("abcd");
        expect(await names([], [{ entity: "param", key: "model", direction: "ascending" }])).toBe("cbad");
        expect(await names([], [{ entity: "attribute", key: "run_name", direction: "ascending" }])).toBe("abcd");
        expect(await names([])).toBe("dcba");
      });

      it("gives pages that add up to the whole", async () => {
        const seen: string[] = [];
        let pageToken: string | undefined;
        do {
          const page = await store.searchRuns({
            experimentIds: ["0"],
            maxResults: 3,
            ...(pageToken ? { pageToken } : {}),
          });
          seen.push(...page.runs.map(({ info }) => info.runName));
          pageToken = page.nextPageToken;
        } while (pageToken !== undefined);
        expect(seen.join("")).toBe("dcba");
        for (const bad of [{ maxResults: 0 }, { maxResults: 50_001 }, { pageToken: "?" }, { pageToken: "e30" }])
          await expect(store.searchRuns({ experimentIds: ["0"], ...bad })).rejects.toEqual(code("TRACKING_INVALID"));
      });

      it("searches only the given experiments", async () => {
        const { experimentId } = await store.createExperiment("other");
        await store.createRun(experimentId, { runName: "z" });
        expect((await store.searchRuns({ experimentIds: [experimentId] })).runs).toHaveLength(1);
        expect((await store.searchRuns({ experimentIds: [experimentId, "0"] })).runs).toHaveLength(5);
        expect((await store.searchRuns({ experimentIds: [] })).runs).toHaveLength(0);
      });
    });

    it("keeps everything over closing and opening, and refuses work when closed", async () => {
      const { experimentId } = await store.createExperiment("kept");
      const { runId } = (await store.createRun(experimentId, { runName: "r" })).info;
      await store.logBatch(runId, { metrics: [metric("m", 1)], params: [{ key: "p", value: "v" }] });
      const run = await store.getRun(runId);
      await store.close();
      await store.close();
      await expect(store.getRun(runId)).rejects.toSatisfy((error) => isPipelineError(error, "TRACKING_STORE_FAILED"));
      store = await fixture.reopen();
      expect(await store.getRun(runId)).toEqual(run);
      expect(await store.getExperimentByName("kept")).toMatchObject({ experimentId });
    });
  });
}
