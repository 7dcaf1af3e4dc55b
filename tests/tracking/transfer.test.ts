import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openArtifactStore } from "../../src/tracking/artifacts.ts";
import { openSqlStore } from "../../src/tracking/sql/store.ts";
import { mlrunsSink } from "../../src/tracking/transfer/mlruns/sink.ts";
import { mlrunsSource } from "../../src/tracking/transfer/mlruns/source.ts";
import { storeSink, storeSource, type TransferStore } from "../../src/tracking/transfer/store-transfer.ts";
import { transfer } from "../../src/tracking/transfer/transfer.ts";

const folder = mkdtempSync(join(tmpdir(), "cifar-transfer-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let count = 0;
async function newStore(): Promise<TransferStore & AsyncDisposable> {
  count += 1;
  const store = await openSqlStore({ path: ":memory:" });
  const artifacts = openArtifactStore({ root: join(folder, `artifacts-${count}`) });
  return { store, artifacts, [Symbol.asyncDispose]: () => store.close() };
}

async function fill({ store, artifacts }: TransferStore): Promise<void> {
  const { experimentId } = await store.createExperiment("first", { tags: [{ key: "team", value: "a/b" }] });
  const parent = await store.createRun(experimentId, { runName: "parent", startTime: 10, userId: "ada" });
  const tags = [{ key: "mlflow.parentRunId", value: parent.info.runId }];
  const child = await store.createRun(experimentId, { runName: "child: ü", startTime: 20, tags });
  const { runId, artifactUri } = child.info;
  const values = [0.1 + 0.2, Number.NaN, 1e-300, -7];
  await store.logBatch(runId, {
    metrics: values.map((value, step) => ({ key: "train/loss", value, step, timestamp: 1000 + step })),
    params: [
      { key: "a.b", value: "x\ny" },
      { key: "nested/p", value: "" },
    ],
    tags: [{ key: "note", value: "multi\nline" }],
  });
  await store.logBatch(runId, {
    metrics: Array.from({ length: 2500 }, (_, step) => ({ key: "many", value: step / 3, step, timestamp: step })).slice(
      0,
      1000,
    ),
  });
  const dataset = { name: "cifar10", digest: "d", sourceType: "local", source: "{}", schema: "s" };
  await store.logInputs(runId, { datasets: [{ dataset, tags: [{ key: "mlflow.data.context", value: "train" }] }] });
  await artifacts.write(artifactUri, "model/model.onnx", new Uint8Array([0, 1, 255]));
  await artifacts.write(artifactUri, "notes.txt", "hällo");
  await store.updateRun(runId, { status: "FINISHED", endTime: 99 });
  await store.updateRun(parent.info.runId, { status: "FAILED", endTime: 100 });
  const gone = await store.createRun(experimentId, { runName: "gone", startTime: 30 });
  await store.deleteRun(gone.info.runId);
  await store.createRegisteredModel("net", { description: "d", tags: [{ key: "t", value: "1" }] });
  await store.createModelVersion("net", { source: `${artifactUri}/model`, runId, tags: [{ key: "v", value: "1" }] });
  const logged = await store.createLoggedModel(experimentId, {
    ...{ name: "logged", modelType: "onnx", sourceRunId: runId },
    ...{ params: [{ key: "width", value: "2" }], tags: [{ key: "k", value: "v" }] },
  });
  await artifacts.write(logged.artifactUri, "deep/model.onnx", new Uint8Array([7]));
  const measured = { key: "of model", value: 0.5, step: 3, timestamp: 9, modelId: logged.modelId };
  await store.logBatch(runId, { metrics: [measured, { ...measured, ...{ datasetName: "c", datasetDigest: "d" } }] });
  await store.logOutputs(runId, [{ modelId: logged.modelId, step: 3 }]);
  await store.logInputs(parent.info.runId, { modelIds: [logged.modelId] });
  await store.finalizeLoggedModel(logged.modelId, "LOGGED_MODEL_READY");
  await store.createModelVersion("net", { source: `models:/${logged.modelId}`, runId, modelId: logged.modelId });
  await store.setAlias("net", { alias: "champion", version: "1" });
  await store.transitionStage("net", "1", { stage: "Production", archiveExisting: "no" });
}

/** All that a store holds, in words that do not depend on ids. */
async function contents({ store, artifacts }: TransferStore): Promise<unknown> {
  const { items: experiments } = await store.searchExperiments({ view: "all", orderBy: ["name ASC"] });
  const all = [];
  const names = new Map<string, string>();
  for (const { experimentId, name, tags } of experiments) {
    const { items } = await store.searchRuns({
      experimentIds: [experimentId],
      view: "all",
      orderBy: ["start_time ASC"],
    });
    for (const { info } of items) names.set(info.runId, info.runName);
    const runs = [];
    for (const { info, data, inputs } of items) {
      const histories = [];
      for (const { key } of data.metrics) histories.push((await store.getMetricHistory(info.runId, key)).items);
      const files: Record<string, string> = {};
      for (const path of ["model/model.onnx", "notes.txt"])
        files[path] = await artifacts.read(info.artifactUri, path).then(
          (bytes) => Buffer.from(bytes).toString("hex"),
          () => "none",
        );
      runs.push({
        name: info.runName,
        status: info.status,
        times: [info.startTime, info.endTime],
        user: info.userId,
        stage: info.lifecycleStage,
        params: data.params,
        latest: data.metrics,
        tags: data.tags
          .filter(({ key }) => !key.startsWith("cifar."))
          .map(({ key, value }) => ({ key, value: names.get(value) ?? value })),
        datasets: inputs.datasets,
        histories,
        files,
      });
    }
    const logged = [];
    for (const model of (await store.searchLoggedModels({ experimentIds: [experimentId] })).items) {
      names.set(model.modelId, model.name);
      logged.push({
        ...{ name: model.name, status: model.status, type: model.modelType, params: model.params },
        run: names.get(model.sourceRunId),
        tags: model.tags.filter(({ key }) => !key.startsWith("cifar.")),
        metrics: model.metrics.map(({ modelId: _model, runId, ...metric }) => ({ ...metric, run: names.get(runId!) })),
        file: Buffer.from(await artifacts.read(model.artifactUri, "deep/model.onnx")).toString("hex"),
      });
    }
    const links = items.map(({ inputs, outputs }) => ({
      took: inputs.modelIds.map((id) => names.get(id)),
      made: outputs.map(({ modelId, step }) => [names.get(modelId), step]),
    }));
    all.push({ name, tags, runs, logged, links });
  }
  const { items: models } = await store.searchRegisteredModels();
  const { items: versions } = await store.searchModelVersions({ orderBy: ["name ASC", "version_number ASC"] });
  return {
    all,
    models: models.map(({ name, description, tags, aliases }) => ({ name, description, tags, aliases })),
    versions: versions.map(({ name, version, stage, runId, modelId, aliases, source }) => ({
      ...{ name, version, stage, aliases, run: names.get(runId), logged: names.get(modelId) },
      below: names.get(source.replace("models:/", "")) ?? source.split("/artifacts/").at(-1),
    })),
  };
}

describe("transfer", () => {
  it("copies a store into another one without loss, and nothing twice", async () => {
    await using from = await newStore();
    await using to = await newStore();
    await fill(from);
    const first = await transfer(storeSource(from), storeSink(to));
    expect(first).toEqual({ experiments: 2, runs: 3, present: 0, loggedModels: 1, models: 1 });
    expect(await contents(to)).toEqual(await contents(from));
    const second = await transfer(storeSource(from), storeSink(to));
    expect(second).toEqual({ experiments: 2, runs: 0, present: 3, loggedModels: 0, models: 0 });
    expect(await contents(to)).toEqual(await contents(from));
  });

  it("goes through an mlruns folder without loss", async () => {
    await using from = await newStore();
    await using to = await newStore();
    await fill(from);
    const mlruns = join(folder, "mlruns");
    await transfer(storeSource(from), mlrunsSink(mlruns));
    await transfer(mlrunsSource(mlruns), storeSink(to));
    expect(await contents(to)).toEqual(await contents(from));
  });

  it("takes only the experiments that are named, and refuses a folder that is none", async () => {
    await using from = await newStore();
    await using to = await newStore();
    await fill(from);
    expect(await transfer(storeSource(from), storeSink(to), { experiments: ["Default"] })).toEqual({
      ...{ experiments: 1, runs: 0, present: 0, loggedModels: 0, models: 0 },
    });
    await expect(transfer(mlrunsSource(join(folder, "artifacts-1")), storeSink(to))).rejects.toMatchObject({
      code: "DATA_FOREIGN",
    });
  });
});
