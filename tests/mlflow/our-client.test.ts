import { execFile } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openOutbox } from "../../src/tracking/client/outbox.ts";
import { modelFiles } from "../../src/tracking/mlflow-model.ts";
import { openTracking, type Tracking } from "../../src/tracking/open.ts";
import { startTrackingServer } from "../../src/tracking/server/server.ts";
import { findMlflowPython, mlflowEnv, mlflowMissing, startMlflowServer } from "./mlflow.ts";

const python = findMlflowPython();
const tiny = fileURLToPath(new URL("../fixtures/tiny.onnx", import.meta.url));

const servers: readonly [string, (folder: string) => Promise<AsyncDisposable & { readonly url: string }>][] = [
  ["MLflow's server", () => startMlflowServer(python ?? "")],
  ["our server", (folder) => startTrackingServer({ port: 0, store: join(folder, "tracking.sqlite") })],
];

describe.skipIf(python === undefined)(python === undefined ? mlflowMissing : "our client", () => {
  describe.each(servers)("on %s", (_name, start) => {
    const folder = mkdtempSync(join(tmpdir(), "cifar-our-client-"));
    let server: AsyncDisposable & { readonly url: string };
    let tracking: Tracking;
    beforeAll(async () => {
      server = await start(folder);
      tracking = await openTracking({ kind: "server", url: server.url, authorization: undefined });
    }, 200_000);
    afterAll(async () => {
      await tracking[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    });

    it("keeps experiments", async () => {
      const { store } = tracking;
      const made = await store.createExperiment("ours", { tags: [{ key: "team", value: "a" }] });
      expect(await store.getExperimentByName("ours")).toEqual(made);
      await expect(store.createExperiment("ours")).rejects.toMatchObject({ code: "TRACKING_EXISTS" });
      await expect(store.getExperiment("987654")).rejects.toMatchObject({ code: "TRACKING_NOT_FOUND" });
      await store.renameExperiment(made.experimentId, "renamed");
      await store.setExperimentTag(made.experimentId, { key: "k", value: "v" });
      await store.deleteExperimentTag(made.experimentId, "team");
      await store.deleteExperiment(made.experimentId);
      await store.restoreExperiment(made.experimentId);
      expect(await store.getExperiment(made.experimentId)).toMatchObject({
        name: "renamed",
        tags: [{ key: "k", value: "v" }],
        lifecycleStage: "active",
      });
      const found = await store.searchExperiments({ filter: "name LIKE 'ren%'" });
      expect(found.items.map(({ name }) => name)).toEqual(["renamed"]);
    });

    it("keeps runs with metrics, params, tags, inputs and status, and finds them", async () => {
      const { store } = tracking;
      const { experimentId } = await store.createExperiment("runs");
      const { runId } = (await store.createRun(experimentId, { runName: "r", userId: "ada", startTime: 5 })).info;
      const points = Array.from({ length: 1000 }, (_, step) => ({ key: "m", value: step / 7, step, timestamp: step }));
      await store.logBatch(runId, { metrics: points });
      await store.logBatch(runId, { metrics: points });
      expect((await store.getMetricHistory(runId, "m")).items.map(({ value }) => value)).toEqual(
        points.map(({ value }) => value),
      );
      await store.logBatch(runId, {
        metrics: [{ key: "nan", value: Number.NaN, step: 0, timestamp: 1 }],
        params: [{ key: "p", value: "ü" }],
        tags: [{ key: "t", value: "1" }],
      });
      await expect(store.logBatch(runId, { params: [{ key: "p", value: "x" }] })).rejects.toMatchObject({
        code: "TRACKING_INVALID",
      });
      const dataset = { name: "cifar10", digest: "d1", sourceType: "local", source: "{}" };
      await store.logInputs(runId, {
        datasets: [{ dataset, tags: [{ key: "mlflow.data.context", value: "training" }] }],
      });
      await store.updateRun(runId, { status: "FINISHED", endTime: 99 });
      const run = await store.getRun(runId);
      expect(run.info).toMatchObject({ status: "FINISHED", endTime: 99, runName: "r", startTime: 5 });
      expect(run.inputs.datasets).toMatchObject([{ dataset: { name: "cifar10", digest: "d1" } }]);
      expect(run.data.metrics.find(({ key }) => key === "nan")?.value).toBeNaN();
      const search = (filter: string) => store.searchRuns({ experimentIds: [experimentId], filter });
      expect((await search("metrics.m > 140 AND params.p = 'ü' AND dataset.name = 'cifar10'")).items).toHaveLength(1);
      await expect(search("nonsense")).rejects.toMatchObject({ code: "TRACKING_INVALID" });
      const sample = await store.sampleMetricHistory({ runIds: [runId], key: "m", maxResults: 10 });
      expect(sample.map(({ step }) => step).at(-1)).toBe(999);
      await store.deleteRun(runId);
      expect((await search("")).items).toEqual([]);
      await store.restoreRun(runId);
      expect((await search("")).items).toHaveLength(1);
    });

    it("keeps artifacts and registers models", async () => {
      const { store, artifacts } = tracking;
      const { info } = await store.createRun("0");
      await artifacts.write(info.artifactUri, "a/b c.txt", "hällo");
      const source = join(folder, "source");
      mkdirSync(join(source, "deep"), { recursive: true });
      writeFileSync(join(source, "deep", "x.bin"), new Uint8Array(3_000_000).fill(7));
      await artifacts.copyIn(info.artifactUri, "copied", source);
      expect(Buffer.from(await artifacts.read(info.artifactUri, "a/b c.txt")).toString()).toBe("hällo");
      expect((await artifacts.list(info.artifactUri)).map(({ path, isDir }) => [path, isDir])).toEqual([
        ["a", true],
        ["copied", true],
      ]);
      expect(await artifacts.list(info.artifactUri, "copied/deep")).toMatchObject([{ fileSize: 3_000_000 }]);
      expect(await artifacts.list(info.artifactUri, "none")).toEqual([]);
      await expect(artifacts.read(info.artifactUri, "none")).rejects.toMatchObject({ code: "TRACKING_NOT_FOUND" });

      await store.createRegisteredModel("net", { description: "d" });
      const version = await store.createModelVersion("net", {
        source: `${info.artifactUri}/copied`,
        runId: info.runId,
      });
      await store.setAlias("net", { alias: "champion", version: version.version });
      expect((await store.getModelVersionByAlias("net", "champion")).runId).toBe(info.runId);
      expect((await store.getRegisteredModel("net")).aliases).toEqual([{ alias: "champion", version: "1" }]);
      await store.transitionStage("net", "1", { stage: "Production", archiveExisting: "no" });
      expect((await store.searchModelVersions({ filter: "name = 'net'" })).items).toMatchObject([
        { version: "1", stage: "Production" },
      ]);
    });

    it("keeps logged models", async () => {
      const { store } = tracking;
      const model = await store.createLoggedModel("0", { name: "m", params: [{ key: "p", value: "1" }] });
      await store.finalizeLoggedModel(model.modelId, "LOGGED_MODEL_READY");
      await store.setLoggedModelTags(model.modelId, [{ key: "t", value: "1" }]);
      expect(await store.getLoggedModel(model.modelId)).toMatchObject({ status: "LOGGED_MODEL_READY", name: "m" });
      const found = await store.searchLoggedModels({ experimentIds: ["0"], filter: "name = 'm'" });
      expect(found.items.map(({ modelId }) => modelId)).toEqual([model.modelId]);
      await store.deleteLoggedModel(model.modelId);
    });

    it("logs a model that MLflow loads and that predicts the same", async () => {
      const outbox = await openOutbox({ directory: join(folder, "outbox"), ...tracking });
      await outbox.openRun({ experimentName: "model", init: { runName: "with model" } });
      const bundle = join(folder, "bundle");
      mkdirSync(bundle);
      copyFileSync(tiny, join(bundle, "model.onnx"));
      await outbox.writeArtifact("model", { file: bundle });
      expect(await outbox.drain(20_000)).toBe(0);
      const session = await InferenceSession.create(tiny);
      const [input] = session.inputMetadata;
      const shape = (input as { readonly shape: readonly (number | string)[] }).shape.slice(1).map(Number);
      const size = shape.reduce((a, b) => a * b, 1);
      // The example is the first of the two images that are predicted below.
      const values = Float32Array.from({ length: 2 * size }, (_, i) => Math.sin(i));
      const files = modelFiles({
        createdAt: new Date(),
        runId: outbox.runId,
        inputShape: shape,
        example: values.slice(0, size),
        classes: 10,
        metadata: {},
      });
      for (const [name, data] of Object.entries(files)) await outbox.writeArtifact(`model/${name}`, { data });
      await outbox.registerModel({ name: "tiny", aliases: ["champion"], path: "model" });
      await outbox.update({ status: "FINISHED" });
      expect(await outbox.drain(20_000)).toBe(0);
      const { runId } = outbox;
      await outbox.close();

      const feeds = { [session.inputNames[0]!]: new Tensor("float32", values, [2, ...shape]) };
      const ours = Object.values(await session.run(feeds))[0]!;
      const program = [
        "import sys, json, numpy as np, mlflow",
        `values = np.sin(np.arange(${values.length})).astype(np.float32).reshape([2] + ${JSON.stringify(shape)})`,
        "for uri in sys.argv[1:]:",
        "    answer = mlflow.pyfunc.load_model(uri).predict(values)",
        "    print(json.dumps(np.asarray(list(answer.values())[0]).reshape(-1).tolist()))",
        "assert mlflow.onnx.load_model(sys.argv[1]).graph.node",
        "example = mlflow.models.Model.load(sys.argv[1]).load_input_example(sys.argv[1])['images']",
        "assert example.dtype == np.float32 and np.abs(example - values[:1]).max() < 1e-6",
        "mlflow.models.validate_serving_input(sys.argv[1], open(mlflow.artifacts.download_artifacts(sys.argv[1] + '/serving_input_example.json')).read())",
      ].join("\n");
      // Not the blocking form: our server answers in this very thread.
      const { stdout: out } = await promisify(execFile)(
        python ?? "",
        ["-c", program, `runs:/${runId}/model`, "models:/tiny@champion"],
        {
          env: { ...mlflowEnv, MLFLOW_TRACKING_URI: server.url },
          cwd: folder,
          timeout: 100_000,
        },
      );
      const lines = out.split("\n").filter((line) => line.startsWith("["));
      expect(lines).toHaveLength(2);
      for (const line of lines) {
        const theirs = JSON.parse(line) as number[];
        expect(theirs).toHaveLength(ours.data.length);
        for (const [i, value] of theirs.entries()) expect(value).toBeCloseTo(Number(ours.data[i]), 5);
      }
    }, 120_000);
  });
});
