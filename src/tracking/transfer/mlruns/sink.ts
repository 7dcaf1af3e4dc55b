import { mkdir, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { loggedModelStatuses, runStatuses } from "../../types.ts";
import { loggedModelOf, type TransferFile, type TransferSink } from "../transfer.ts";
import { loggedModelSchema, modelSchema, runSchema } from "./meta.ts";
import { namesIn, readMeta, writeEntries, writeMeta, writeText } from "./text-files.ts";

/** Writes a folder that MLflow's file store reads (MLFLOW_ALLOW_FILE_STORE=true where it is deprecated). */
export function mlrunsSink(folder: string): TransferSink {
  const runFolders = new Map<string, string>();
  const modelFolders = new Map<string, string>();
  return {
    experiment: async (experiment) => {
      const { name, experimentId, lifecycleStage, creationTime, lastUpdateTime, tags } = experiment;
      const id = /^\d+$/.test(experimentId) ? experimentId : String(1 + (await namesIn(folder)).length);
      const directory = join(folder, ...(lifecycleStage === "deleted" ? [".trash"] : []), id);
      await writeMeta(directory, {
        artifact_location: pathToFileURL(directory).href,
        creation_time: creationTime,
        experiment_id: id,
        last_update_time: lastUpdateTime,
        lifecycle_stage: lifecycleStage,
        name,
      });
      await writeEntries(join(directory, "tags"), tags);
      return directory;
    },
    run: async (experiment, { run, history, files }) => {
      const { info, data, inputs } = run;
      const directory = join(experiment, info.runId);
      runFolders.set(info.runId, directory);
      if ((await readMeta(directory, runSchema)) !== undefined) return { runId: info.runId, state: "present" };
      await writeEntries(join(directory, "params"), data.params);
      await writeEntries(join(directory, "tags"), data.tags);
      // MLflow takes no folder for a run that lacks one of these.
      await mkdir(join(directory, "metrics"), { recursive: true });
      for (const { key } of data.metrics) {
        const lines = (await history(key)).map(
          ({ timestamp, value, step }) => `${timestamp} ${pythonNumber(value)} ${step}\n`,
        );
        await writeText(join(directory, "metrics", key), lines.join(""));
      }
      for (const { dataset, tags } of inputs.datasets) {
        const id = Buffer.from(`${dataset.name} ${dataset.digest}`).toString("hex").slice(0, 60);
        await writeMeta(join(experiment, "datasets", id), {
          digest: dataset.digest,
          name: dataset.name,
          profile: dataset.profile ?? null,
          schema: dataset.schema ?? null,
          source: dataset.source,
          source_type: dataset.sourceType,
        });
        await writeMeta(join(directory, "inputs", id), {
          destination_id: id,
          destination_type: "RUN",
          source_id: id,
          source_type: "DATASET",
          tags: Object.fromEntries(tags.map(({ key, value }) => [key, value])),
        });
      }
      const artifacts = join(directory, "artifacts");
      await writeFiles(artifacts, files());
      // Last: a folder without it is no run yet.
      await writeMeta(directory, {
        artifact_uri: pathToFileURL(artifacts).href,
        end_time: info.endTime ?? null,
        entry_point_name: "",
        experiment_id: basename(experiment),
        lifecycle_stage: info.lifecycleStage,
        run_id: info.runId,
        run_name: info.runName,
        run_uuid: info.runId,
        source_name: "",
        source_type: 4,
        source_version: "",
        start_time: info.startTime,
        status: runStatuses.indexOf(info.status) + 1,
        tags: [],
        user_id: info.userId,
      });
      return { runId: info.runId, state: "copied" };
    },
    loggedModel: async (experiment, { model, files }) => {
      const { modelId, params, tags, metrics } = model;
      const directory = join(experiment, "models", modelId);
      modelFolders.set(modelId, directory);
      if ((await readMeta(directory, loggedModelSchema)) !== undefined) return { modelId, state: "present" };
      await writeEntries(join(directory, "params"), params);
      await writeEntries(join(directory, "tags"), tags);
      await mkdir(join(directory, "metrics"), { recursive: true });
      const lines = new Map<string, string>();
      for (const { key, timestamp, value, step, runId, datasetName, datasetDigest } of metrics) {
        const dataset = datasetName === undefined ? "" : ` ${datasetName} ${datasetDigest}`;
        const line = `${timestamp} ${pythonNumber(value)} ${step} ${runId ?? ""}${dataset}\n`;
        lines.set(key, (lines.get(key) ?? "") + line);
      }
      for (const [key, text] of lines) await writeText(join(directory, "metrics", key), text);
      const artifacts = join(directory, "artifacts");
      await writeFiles(artifacts, files());
      await writeMeta(directory, {
        artifact_location: pathToFileURL(artifacts).href,
        creation_timestamp: model.creationTime,
        experiment_id: basename(experiment),
        last_updated_timestamp: model.lastUpdateTime,
        lifecycle_stage: model.lifecycleStage,
        model_id: modelId,
        model_type: model.modelType,
        name: model.name,
        source_run_id: model.sourceRunId,
        status: loggedModelStatuses.indexOf(model.status) + 1,
        status_message: null,
      });
      return { modelId, state: "copied" };
    },
    links: async (runId, { modelIds, outputs }) => {
      const directory = runFolders.get(runId)!;
      for (const modelId of modelIds)
        await writeMeta(join(directory, "inputs", modelId), {
          destination_id: modelId,
          destination_type: "RUN",
          source_id: modelId,
          source_type: "MODEL",
          tags: {},
        });
      for (const { modelId, step } of outputs)
        await writeMeta(join(directory, "outputs", modelId), {
          destination_id: modelId,
          destination_type: "MODEL_OUTPUT",
          source_id: modelId,
          source_type: "RUN_OUTPUT",
          step,
          tags: {},
        });
    },
    model: async ({ model, versions }) => {
      const directory = join(folder, "models", model.name);
      if ((await readMeta(directory, modelSchema)) !== undefined) return "present";
      for (const version of versions) {
        const logged = loggedModelOf(version);
        const own = modelFolders.get(logged) ?? runFolders.get(version.runId);
        const below = /\/artifacts\/(.+)$/.exec(version.source)?.[1] ?? "";
        const source = own === undefined ? version.source : pathToFileURL(join(own, "artifacts", below)).href;
        const target = join(directory, `version-${version.version}`);
        await writeMeta(target, {
          creation_timestamp: version.creationTime,
          current_stage: version.stage,
          description: version.description,
          last_updated_timestamp: version.lastUpdateTime,
          ...(modelFolders.has(logged) ? { model_id: logged } : {}),
          name: model.name,
          run_id: version.runId,
          run_link: version.runLink,
          source,
          status: "READY",
          status_message: null,
          storage_location: source,
          user_id: null,
          version: Number(version.version),
        });
        await writeEntries(join(target, "tags"), version.tags);
      }
      const aliases = model.aliases.map(({ alias, version }) => ({ key: alias, value: version }));
      await writeEntries(join(directory, "aliases"), aliases);
      await writeEntries(join(directory, "tags"), model.tags);
      await writeMeta(directory, {
        creation_timestamp: model.creationTime,
        description: model.description,
        last_updated_timestamp: model.lastUpdateTime,
        name: model.name,
      });
      return "copied";
    },
  };
}

function pythonNumber(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

async function writeFiles(folder: string, files: AsyncIterable<TransferFile>): Promise<void> {
  await mkdir(folder, { recursive: true });
  for await (const file of files) {
    const target = join(folder, file.path);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, await file.open());
  }
}
