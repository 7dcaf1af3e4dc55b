import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isPipelineError } from "../../src/base/errors.ts";
import type { TrackingStore } from "../../src/tracking/store.ts";
import { trackingLimits } from "../../src/tracking/types.ts";

/** Settled and sorted names of a page. */
const namesOf = (page: { readonly items: readonly { readonly name: string }[] }) => page.items.map(({ name }) => name);

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
        expect((await store.searchExperiments()).items).toHaveLength(1);
      });

      it("creates and finds by name and id", async () => {
        const made = await store.createExperiment("cifär 10", { tags: [{ key: "team", value: "a" }] });
        expect(made.artifactLocation).toBe(`mlflow-artifacts:/${made.experimentId}`);
        expect(made.tags).toEqual([{ key: "team", value: "a" }]);
        expect(await store.getExperimentByName("cifär 10")).toEqual(made);
        expect(await store.getExperiment(made.experimentId)).toEqual(made);
        expect((await store.searchExperiments()).items.map(({ name }) => name)).toEqual(["cifär 10", "Default"]);
        expect(await store.getExperimentByName("other")).toBeUndefined();
      });

      it("refuses a taken, empty or too long name and an unknown id", async () => {
        await store.createExperiment("a");
        await expect(store.createExperiment("a")).rejects.toEqual(code("TRACKING_EXISTS"));
        await expect(store.createExperiment(" ")).rejects.toEqual(code("TRACKING_INVALID"));
        await expect(store.createExperiment("x".repeat(501))).rejects.toEqual(code("TRACKING_INVALID"));
        await expect(store.getExperiment("99")).rejects.toEqual(code("TRACKING_NOT_FOUND"));
        for (const id of ["-1", "1 OR 1=1", "x"])
          await expect(store.getExperiment(id), id).rejects.toEqual(code("TRACKING_INVALID"));
      });
    });

    describe("experiments that change", () => {
      let id: string;
      beforeEach(async () => {
        id = (await store.createExperiment("one", { tags: [{ key: "team", value: "a" }] })).experimentId;
      });

      it("renames, tags and untags", async () => {
        await store.renameExperiment(id, "two");
        expect((await store.getExperiment(id)).name).toBe("two");
        await expect(store.renameExperiment(id, "Default")).rejects.toEqual(code("TRACKING_EXISTS"));
        await store.setExperimentTag(id, { key: "team", value: "b" });
        expect((await store.getExperiment(id)).tags).toEqual([{ key: "team", value: "b" }]);
        await store.deleteExperimentTag(id, "team");
        expect((await store.getExperiment(id)).tags).toEqual([]);
        await expect(store.deleteExperimentTag(id, "team")).rejects.toEqual(code("TRACKING_NOT_FOUND"));
      });

      it("deletes and restores with all runs", async () => {
        const { runId } = (await store.createRun(id)).info;
        await store.deleteExperiment(id);
        expect((await store.getExperiment(id)).lifecycleStage).toBe("deleted");
        expect((await store.getRun(runId)).info.lifecycleStage).toBe("deleted");
        await expect(store.createRun(id)).rejects.toEqual(code("TRACKING_INVALID"));
        await expect(store.deleteExperiment(id)).rejects.toEqual(code("TRACKING_NOT_FOUND"));
        await expect(store.renameExperiment(id, "x")).rejects.toEqual(code("TRACKING_STATE"));
        expect(namesOf(await store.searchExperiments({ view: "deleted" }))).toEqual(["one"]);
        await store.restoreExperiment(id);
        expect((await store.getRun(runId)).info.lifecycleStage).toBe("active");
        await expect(store.restoreExperiment(id)).rejects.toEqual(code("TRACKING_NOT_FOUND"));
      });

      it("is found by filter and in order, page by page", async () => {
        for (const name of ["b", "a", "c"]) await store.createExperiment(name);
        const search = { filter: "name != 'Default'", orderBy: ["name ASC"], maxResults: 3 };
        const first = await store.searchExperiments(search);
        expect(namesOf(first)).toEqual(["a", "b", "c"]);
        expect(namesOf(await store.searchExperiments({ ...search, pageToken: first.nextPageToken! }))).toEqual(["one"]);
        expect(namesOf(await store.searchExperiments({ filter: "tags.team = 'a'" }))).toEqual(["one"]);
        expect(namesOf(await store.searchExperiments({ filter: "tags.team IS NULL AND name ILIKE 'A'" }))).toEqual([
          "a",
        ]);
        expect(namesOf(await store.searchExperiments({ filter: `experiment_id IN ('${id}')` }))).toEqual(["one"]);
        expect(
          namesOf(await store.searchExperiments({ filter: "creation_time > 0", orderBy: ["experiment_id ASC"] })),
        ).toEqual([...["Default", "one", "b", "a", "c"]]);
        for (const filter of ["metrics.a = 1", "creation_time > 'a'", "name > 'a'", "creation_time > 1.5"])
          await expect(store.searchExperiments({ filter }), filter).rejects.toEqual(code("TRACKING_INVALID"));
      });
    });

    describe("inputs, outputs and histories", () => {
      let runId: string;
      beforeEach(async () => {
        runId = (await store.createRun("0")).info.runId;
      });

      it("keeps datasets once, with their context", async () => {
        const dataset = { name: "d", digest: "1", sourceType: "local", source: "{}", schema: "s", profile: "p" };
        const input = { dataset, tags: [{ key: "mlflow.data.context", value: "train" }] };
        await store.logInputs(runId, { datasets: [input, { dataset: { ...dataset, digest: "2" }, tags: [] }] });
        await store.logInputs(runId, { datasets: [input] });
        const { inputs } = await store.getRun(runId);
        expect(inputs.datasets).toHaveLength(2);
        expect(inputs.datasets).toContainEqual(input);
        const found = await store.searchDatasets(["0"]);
        expect([...found].sort((a, b) => (a.digest < b.digest ? -1 : 1))).toEqual([
          { experimentId: "0", name: "d", digest: "1", context: "train" },
          { experimentId: "0", name: "d", digest: "2", context: undefined },
        ]);
        for (const bad of [{ name: "" }, { digest: "x".repeat(37) }, { name: "x".repeat(501) }])
          await expect(
            store.logInputs(runId, { datasets: [{ dataset: { ...dataset, ...bad }, tags: [] }] }),
          ).rejects.toEqual(code("TRACKING_INVALID"));
      });

      it("gives a history page by page, and an even sample of it", async () => {
        await store.logBatch(runId, { metrics: Array.from({ length: 500 }, (_, i) => metric("m", i, i, i)) });
        const first = await store.getMetricHistory(runId, "m", { maxResults: 300 });
        expect(first.items).toHaveLength(300);
        const rest = await store.getMetricHistory(runId, "m", { maxResults: 300, pageToken: first.nextPageToken! });
        expect(rest.items.map(({ value }) => value)).toEqual(Array.from({ length: 200 }, (_, i) => 300 + i));
        expect(rest.nextPageToken).toBeUndefined();
        const sample = await store.sampleMetricHistory({ runIds: [runId], key: "m", maxResults: 11 });
        const steps = sample.map(({ step }) => step);
        expect(steps.length).toBeLessThanOrEqual(11);
        expect([steps[0], steps.at(-1)]).toEqual([0, 499]);
        for (const [i, step] of steps.slice(0, -1).entries()) expect(Math.abs(step - i * 46)).toBeLessThan(46);
        const part = await store.sampleMetricHistory({
          runIds: [runId],
          key: "m",
          maxResults: 100,
          steps: { from: 10, to: 12 },
        });
        expect(part.map(({ value, runId: owner }) => [value, owner])).toEqual([10, 11, 12].map((v) => [v, runId]));
      });
    });

    describe("logged models", () => {
      it("go from pending to ready, with tags, params, metrics and search", async () => {
        const { runId } = (await store.createRun("0")).info;
        const made = await store.createLoggedModel("0", {
          name: "net",
          modelType: "cnn",
          sourceRunId: runId,
          params: [{ key: "p", value: "1" }],
          tags: [{ key: "t", value: "1" }],
        });
        expect(made).toMatchObject({
          status: "LOGGED_MODEL_PENDING",
          name: "net",
          modelType: "cnn",
          sourceRunId: runId,
        });
        expect(made.modelId).toMatch(/^m-[0-9a-f]{32}$/);
        expect(made.artifactUri).toBe(`mlflow-artifacts:/0/models/${made.modelId}/artifacts`);
        expect((await store.finalizeLoggedModel(made.modelId, "LOGGED_MODEL_READY")).status).toBe("LOGGED_MODEL_READY");
        await store.setLoggedModelTags(made.modelId, [{ key: "u", value: "2" }]);
        await store.deleteLoggedModelTag(made.modelId, "t");
        await expect(store.deleteLoggedModelTag(made.modelId, "t")).rejects.toEqual(code("TRACKING_NOT_FOUND"));
        await store.logLoggedModelParams(made.modelId, [{ key: "q", value: "2" }]);
        await store.logLoggedModelParams(made.modelId, [{ key: "q", value: "2" }]);
        await expect(store.logLoggedModelParams(made.modelId, [{ key: "q", value: "3" }])).rejects.toEqual(
          code("TRACKING_INVALID"),
        );
        await store.logOutputs(runId, [{ modelId: made.modelId, step: 3 }]);
        expect((await store.getRun(runId)).outputs).toEqual([{ modelId: made.modelId, step: 3 }]);
        await store.logBatch(runId, {
          metrics: [{ ...metric("acc", 0.5, 1), modelId: made.modelId, datasetName: "d", datasetDigest: "1" }],
        });
        const model = await store.getLoggedModel(made.modelId);
        expect(model.tags).toEqual([{ key: "u", value: "2" }]);
        expect(model.params.map(({ key }) => key)).toEqual(["p", "q"]);
        expect(model.metrics).toMatchObject([{ key: "acc", value: 0.5, step: 1, datasetName: "d" }]);
        const other = await store.createLoggedModel("0", { name: "other" });
        const search = async (filter: string) =>
          namesOf(
            await store.searchLoggedModels({
              experimentIds: ["0"],
              filter,
              orderBy: [{ field: "name", direction: "ascending" }],
            }),
          );
        expect(await search("")).toEqual(["net", "other"]);
        expect(await search("metrics.acc >= 0.5 AND params.p = '1' AND tags.u LIKE '2%'")).toEqual(["net"]);
        expect(await search("name = 'other'")).toEqual(["other"]);
        expect(namesOf(await store.searchLoggedModels({ experimentIds: ["0"], datasets: [{ name: "d" }] }))).toEqual([
          "net",
        ]);
        const byMetric = { field: "metrics.acc", direction: "descending" } as const;
        const page = await store.searchLoggedModels({ experimentIds: ["0"], orderBy: [byMetric], maxResults: 1 });
        expect(namesOf(page)).toEqual(["net"]);
        await store.deleteLoggedModel(other.modelId);
        await expect(store.getLoggedModel(other.modelId)).rejects.toEqual(code("TRACKING_NOT_FOUND"));
        expect(await search("")).toEqual(["net"]);
      });
    });

    describe("the model registry", () => {
      const source = "models:/net/1";
      beforeEach(async () => {
        await store.createRegisteredModel("net", { description: "d", tags: [{ key: "a", value: "1" }] });
      });

      it("creates, renames, describes, tags and deletes models", async () => {
        expect(await store.getRegisteredModel("net")).toMatchObject({
          description: "d",
          tags: [{ key: "a", value: "1" }],
          aliases: [],
          latestVersions: [],
        });
        await expect(store.createRegisteredModel("net")).rejects.toEqual(code("TRACKING_EXISTS"));
        for (const bad of ["", " ", "a/b", "a:b"])
          await expect(store.createRegisteredModel(bad), bad).rejects.toEqual(code("TRACKING_INVALID"));
        await expect(store.getRegisteredModel("none")).rejects.toEqual(code("TRACKING_NOT_FOUND"));
        await store.createModelVersion("net", { source: "s3://bucket/model" });
        await store.setAlias("net", { alias: "champion", version: "1" });
        await store.renameRegisteredModel("net", "new");
        expect(await store.getRegisteredModel("new")).toMatchObject({ aliases: [{ alias: "champion", version: "1" }] });
        expect((await store.getModelVersion("new", "1")).aliases).toEqual(["champion"]);
        expect((await store.updateRegisteredModel("new", "text")).description).toBe("text");
        await store.setRegisteredModelTag("new", { key: "b", value: "2" });
        await store.deleteRegisteredModelTag("new", "a");
        await store.deleteRegisteredModelTag("new", "a");
        expect((await store.getRegisteredModel("new")).tags).toEqual([{ key: "b", value: "2" }]);
        await store.deleteRegisteredModel("new");
        await expect(store.getModelVersion("new", "1")).rejects.toEqual(code("TRACKING_NOT_FOUND"));
      });

      it("counts versions, moves aliases and stages", async () => {
        const made = await store.createModelVersion("net", {
          source: "s3://bucket/1",
          tags: [{ key: "k", value: "v" }],
        });
        expect(made).toMatchObject({ version: "1", stage: "None", tags: [{ key: "k", value: "v" }] });
        const copied = await store.createModelVersion("net", { source });
        expect(copied.version).toBe("2");
        expect(await store.getDownloadUri("net", "2")).toBe("s3://bucket/1");
        await store.setAlias("net", { alias: "champion", version: "1" });
        await store.setAlias("net", { alias: "champion", version: "2" });
        expect((await store.getModelVersionByAlias("net", "champion")).version).toBe("2");
        await store.deleteAlias("net", "champion");
        await store.deleteAlias("net", "champion");
        await expect(store.getModelVersionByAlias("net", "champion")).rejects.toEqual(code("TRACKING_INVALID"));
        for (const alias of ["v1", "latest", "a b"])
          await expect(store.setAlias("net", { alias, version: "1" }), alias).rejects.toEqual(code("TRACKING_INVALID"));
        await store.transitionStage("net", "1", { stage: "Production", archiveExisting: "no" });
        await store.transitionStage("net", "2", { stage: "production", archiveExisting: "yes" });
        expect((await store.getModelVersion("net", "1")).stage).toBe("Archived");
        expect((await store.getLatestVersions("net", ["Production"])).map(({ version }) => version)).toEqual(["2"]);
        expect(await store.getLatestVersions("net")).toHaveLength(2);
        expect((await store.updateModelVersion("net", "1", "text")).description).toBe("text");
        await store.setModelVersionTag("net", "1", { key: "x", value: "y" });
        await store.deleteModelVersionTag("net", "1", "k");
        expect((await store.getModelVersion("net", "1")).tags).toEqual([{ key: "x", value: "y" }]);
        await store.setAlias("net", { alias: "challenger", version: "2" });
        await store.deleteModelVersion("net", "2");
        expect((await store.getRegisteredModel("net")).aliases).toEqual([]);
        await expect(store.getModelVersion("net", "2")).rejects.toEqual(code("TRACKING_NOT_FOUND"));
        await expect(store.getModelVersion("net", "x")).rejects.toEqual(code("TRACKING_INVALID"));
      });

      it("finds models and versions", async () => {
        await store.createRegisteredModel("other");
        await store.createModelVersion("net", { source: "s3://a", tags: [{ key: "k", value: "v" }] });
        await store.createModelVersion("net", { source: "s3://b" });
        await store.createModelVersion("other", { source: "s3://c" });
        expect(namesOf(await store.searchRegisteredModels())).toEqual(["net", "other"]);
        expect(namesOf(await store.searchRegisteredModels({ filter: "name LIKE 'o%'" }))).toEqual(["other"]);
        expect(namesOf(await store.searchRegisteredModels({ filter: "tags.a = '1'" }))).toEqual(["net"]);
        const page = await store.searchRegisteredModels({ orderBy: ["name DESC"], maxResults: 1 });
        expect(namesOf(page)).toEqual(["other"]);
        expect(
          namesOf(await store.searchRegisteredModels({ orderBy: ["name DESC"], pageToken: page.nextPageToken! })),
        ).toEqual(["net"]);
        const versions = async (filter: string) =>
          (await store.searchModelVersions({ filter, orderBy: ["name ASC", "version_number ASC"] })).items.map(
            ({ name, version }) => `${name}${version}`,
          );
        expect(await versions("")).toEqual(["net1", "net2", "other1"]);
        expect(await versions("name = 'net' AND tags.k = 'v'")).toEqual(["net1"]);
        expect(await versions("source_path = 's3://c'")).toEqual(["other1"]);
        expect(await versions("version_number > 1")).toEqual(["net2"]);
        await expect(versions("size > 1")).rejects.toEqual(code("TRACKING_INVALID"));
      });

      it("keeps prompts out of searches for models", async () => {
        await store.createRegisteredModel("prompt", { tags: [{ key: "mlflow.prompt.is_prompt", value: "true" }] });
        expect(namesOf(await store.searchRegisteredModels())).toEqual(["net"]);
        expect(
          namesOf(await store.searchRegisteredModels({ filter: "tags.`mlflow.prompt.is_prompt` = 'true'" })),
        ).toEqual(["prompt"]);
      });

      it("numbers versions that are made at the same time one after the other", async () => {
        const made = await Promise.all(
          Array.from({ length: 8 }, (_, i) => store.createModelVersion("net", { source: `s3://${i}` })),
        );
        expect(made.map(({ version }) => Number(version)).sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
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
        expect((await store.updateRun(runId, { endTime: 9 })).info.endTime).toBeUndefined();
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
        expect((await store.searchRuns({ experimentIds: ["0"] })).items).toHaveLength(0);
        expect((await store.searchRuns({ experimentIds: ["0"], view: "deleted" })).items).toHaveLength(1);
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
        expect((await store.getMetricHistory(runId, "loss")).items.map(({ value }) => value)).toEqual([1, 5, 2, 3, 9]);
        expect((await store.getRun(runId)).data.metrics).toEqual([metric("loss", 5, 2, 10)]);
        expect((await store.getMetricHistory(runId, "unknown")).items).toEqual([]);
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
        expect((await store.getMetricHistory(runId, "a")).items).toHaveLength(1);
        expect((await store.getRun(runId)).data.params).toEqual([{ key: "p", value: "1" }]);
      });

      it("keeps doubles exactly, NaN as NaN and infinities as the largest number", async () => {
        const values = [0.1 + 0.2, -0, 5e-324, Number.MAX_VALUE, 1e15, Number.NaN, Infinity, -Infinity];
        await store.logBatch(runId, { metrics: values.map((value, step) => metric("v", value, step, step)) });
        const stored = (await store.getMetricHistory(runId, "v")).items.map(({ value }) => value);
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
          { metrics: [{ ...metric("a", 1), value: "x" as never }] },
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
        expect((await store.getMetricHistory(runId, "m")).items).toHaveLength(50);
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
        await store.setTag(ids.a!, { key: "odd key/1", value: "o" });
        const dataset = { name: "cifar10", digest: "abcd", sourceType: "local", source: "{}" };
        await store.logInputs(ids.b!, {
          datasets: [{ dataset, tags: [{ key: "mlflow.data.context", value: "train" }] }],
        });
      });

      const names = async (filter: string, orderBy: readonly string[] = []): Promise<string> =>
        (await store.searchRuns({ experimentIds: ["0"], filter, orderBy })).items
          .map(({ info }) => info.runName)
          .join("");

      it.each([
        ["latest metric", "metrics.acc > 0.92", "b"],
        ["NaN is not smaller", "metrics.acc <= 1", "ba"],
        ["NaN is different", "metrics.acc != 0.94", "ca"],
        ["negative and exponent numbers", "metrics.acc > -1.5e3 and metric.acc<9.3e-1", "a"],
        ["param", "params.model = 'airbench'", "b"],
        ["double quotes", 'parameters.model = "airbench"', "b"],
        ["a missing param matches no comparison", "params.model != 'x'", "cba"],
        ["is null", "params.model IS NULL", "d"],
        ["is not null", "params.`model` is not null", "cba"],
        ["like minds case", "params.model LIKE 'air%'", "b"],
        ["ilike does not", "params.model ILIKE 'AIR_ench'", "cb"],
        ["other wildcards are plain", "tags.note LIKE '*'", ""],
        ["backslashes are plain", "tags.note LIKE 'x\\_a%'", ""],
        ["in", `attributes.run_id IN ('RUN_A', "RUN_D")`, "da"],
        ["not in", "attribute.run_id NOT IN ('RUN_A')", "dcb"],
        ["status", "attributes.status = 'FINISHED'", "a"],
        ["an attribute alone", "status != 'FINISHED'", "dcb"],
        ["run name by its tag and as attribute", "tags.mlflow.runName = 'c' AND `run name` = 'c'", "c"],
        ["start time", "attributes.start_time >= 2", "dc"],
        ["created", "Created >= 2", "dc"],
        ["end time", "end_time = 100", "a"],
        ["keys in backticks", "tags.`odd key/1` = 'o'", "a"],
        ["keys in double quotes", 'tags."odd key/1" = "o"', "a"],
        ["quotes in text", 'tags.note != "it\'s"', "dcba"],
        ["dataset", "dataset.name = 'cifar10' AND datasets.digest LIKE 'abc%' AND dataset.context = 'train'", "b"],
        ["dataset lists", "dataset.context IN ('train', 'test')", "b"],
        ["empty", "", "dcba"],
      ])("filters: %s", async (_, filter, expected) => {
        const known = filter.replace("RUN_A", ids.a!).replace("RUN_D", ids.d!);
        expect(await names(known)).toBe(expected);
      });

      it.each([
        ["Österreich", "ÖSTERREICH"],
        ["ÖSTERREICH", "%österreich"],
        ["МОСКВА", "моск_а"],
        ["ΣΊΣΥΦΟΣ", "Σίσυφος"],
        ["straße", "STRAßE"],
        ["\u{10400}\u{1F600}", "\u{10428}_"],
        ["a\\Ä", "A\\ä"],
        ["Ǆ", "ǆ"],
      ])("ilike finds %s by %s", async (value, pattern) => {
        await store.setTag(ids.a!, { key: "place", value });
        await store.setTag(ids.b!, { key: "place", value: `${value}x` });
        expect(await names(`tags.place ILIKE '${pattern}'`)).toBe("a");
        expect(await names(`tags.place LIKE '${pattern}'`)).toBe(pattern === value ? "a" : "");
      });

      it.each([
        "metrics.acc > '0.9'",
        "metrics.acc LIKE '9'",
        "metrics.acc IS NULL",
        "params.model = 1",
        "params.model < 'a'",
        "params.model IN ('a')",
        "params.model = airbench",
        "params.model = `airbench`",
        "params.model = 'a' OR params.model = 'b'",
        "params.model = 'a' params.model = 'b'",
        "params.model = 'a' AND",
        "params.model 'a'",
        "params.model == 'a'",
        "params.model =",
        "params. = 'a'",
        "param.model = 'open",
        "thing.model = 'a'",
        "attributes.nothing = 'a'",
        "attributes.start_time = 'a'",
        "attributes.run_id IN ()",
        "attributes.run_id IN (1)",
        "dataset.size = 'a'",
        "dummy",
        "metrics.acc > 1; DROP TABLE runs",
      ])("refuses %s", async (filter) => {
        await expect(names(filter)).rejects.toEqual(code("TRACKING_INVALID"));
      });

      it("orders with NaN and then missing values last, both ways", async () => {
        expect(await names("", ["metrics.acc DESC"])).toBe("bacd");
        expect(await names("", ["metrics.`acc` asc"])).toBe("abcd");
        expect(await names("", ["params.model"])).toBe("cbad");
        expect(await names("", ["attributes.run_name ASC"])).toBe("abcd");
        expect(await names("", ["end_time DESC", "start_time ASC"])).toBe("abcd");
        expect(await names("")).toBe("dcba");
        for (const bad of ["metrics.acc UP", "metrics.acc ASC DESC", "nothing", "dataset.name", "metrics"])
          await expect(names("", [bad]), bad).rejects.toEqual(code("TRACKING_INVALID"));
        await expect(names("", ["metrics.acc", "metrics.acc DESC"])).rejects.toEqual(code("TRACKING_INVALID"));
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
          seen.push(...page.items.map(({ info }) => info.runName));
          pageToken = page.nextPageToken;
        } while (pageToken !== undefined);
        expect(seen.join("")).toBe("dcba");
        for (const bad of [{ maxResults: 0 }, { maxResults: 50_001 }, { pageToken: "?" }, { pageToken: "e30" }])
          await expect(store.searchRuns({ experimentIds: ["0"], ...bad })).rejects.toEqual(code("TRACKING_INVALID"));
      });

      it("searches only the given experiments", async () => {
        const { experimentId } = await store.createExperiment("other");
        await store.createRun(experimentId, { runName: "z" });
        expect((await store.searchRuns({ experimentIds: [experimentId] })).items).toHaveLength(1);
        expect((await store.searchRuns({ experimentIds: [experimentId, "0"] })).items).toHaveLength(5);
        expect((await store.searchRuns({ experimentIds: [] })).items).toHaveLength(0);
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
