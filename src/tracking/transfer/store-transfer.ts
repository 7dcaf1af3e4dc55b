import { isPipelineError } from "../../base/errors.ts";
import type { ArtifactAccess } from "../artifacts.ts";
import { splitBatch } from "../split-batch.ts";
import type { TrackingStore } from "../store.ts";
import type { Experiment, Metric, Tag } from "../types.ts";
import {
  loggedModelOf,
  type TransferFile,
  type TransferLoggedModel,
  type TransferModel,
  type TransferRun,
  type TransferSink,
  type TransferSource,
} from "./transfer.ts";

export interface TransferStore {
  readonly store: TrackingStore;
  readonly artifacts: ArtifactAccess;
}

const pageSize = 1000;
const maxFileBytes = Number.MAX_SAFE_INTEGER;

/** The tag of a copied run that says which one it was. */
const originTag = "cifar.copied_from";

export function storeSource({ store, artifacts }: TransferStore): TransferSource {
  return {
    experiments: async () => {
      const found: Experiment[] = [];
      let pageToken: string | undefined;
      do {
        const page = await store.searchExperiments({
          view: "all",
          orderBy: ["creation_time ASC"],
          maxResults: pageSize,
          ...(pageToken === undefined ? {} : { pageToken }),
        });
        found.push(...page.items);
        pageToken = page.nextPageToken;
      } while (pageToken !== undefined);
      return found;
    },
    runs: async function* ({ experimentId }) {
      let pageToken: string | undefined;
      do {
        const page = await store.searchRuns({
          experimentIds: [experimentId],
          view: "all",
          orderBy: ["attributes.start_time ASC"],
          maxResults: 200,
          ...(pageToken === undefined ? {} : { pageToken }),
        });
        for (const run of page.items)
          yield {
            run,
            history: async (key) => (await store.getMetricHistory(run.info.runId, key)).items,
            files: () => filesOf(artifacts, run.info.artifactUri, ""),
          } satisfies TransferRun;
        pageToken = page.nextPageToken;
      } while (pageToken !== undefined);
    },
    loggedModels: async function* ({ experimentId }) {
      let pageToken: string | undefined;
      do {
        const page = await store.searchLoggedModels({
          experimentIds: [experimentId],
          orderBy: [{ field: "creation_timestamp_ms", direction: "ascending" }],
          maxResults: 50,
          ...(pageToken === undefined ? {} : { pageToken }),
        });
        for (const model of page.items)
          yield { model, files: () => filesOf(artifacts, model.artifactUri, "") } satisfies TransferLoggedModel;
        pageToken = page.nextPageToken;
      } while (pageToken !== undefined);
    },
    models: async () => {
      const models: TransferModel[] = [];
      let pageToken: string | undefined;
      do {
        const page = await store.searchRegisteredModels({
          maxResults: pageSize,
          ...(pageToken === undefined ? {} : { pageToken }),
        });
        for (const model of page.items) {
          const filter = `name = ${quoted(model.name)}`;
          const { items } = await store.searchModelVersions({
            filter,
            orderBy: ["version_number ASC"],
            maxResults: 10_000,
          });
          models.push({ model, versions: items });
        }
        pageToken = page.nextPageToken;
      } while (pageToken !== undefined);
      return models;
    },
  };
}

async function* filesOf(artifacts: ArtifactAccess, uri: string, folder: string): AsyncGenerator<TransferFile> {
  for (const { path, isDir } of await artifacts.list(uri, folder)) {
    if (isDir) yield* filesOf(artifacts, uri, path);
    else yield { path, open: () => artifacts.readStream(uri, path) };
  }
}

export function storeSink({ store, artifacts }: TransferStore): TransferSink {
  const writeFiles = async (uri: string, files: AsyncIterable<TransferFile>): Promise<void> => {
    for await (const file of files)
      await artifacts.writeStream(uri, file.path, { stream: await file.open(), maxBytes: maxFileBytes });
  };
  /** Nothing can be written to a run that is deleted: it is so again afterwards. */
  const writing = async (runId: string, write: () => Promise<void>): Promise<void> => {
    const { lifecycleStage } = (await store.getRun(runId)).info;
    if (lifecycleStage === "deleted") await store.restoreRun(runId);
    await write();
    if (lifecycleStage === "deleted") await store.deleteRun(runId);
  };
  return {
    experiment: async (experiment) => {
      const { name, tags, lifecycleStage } = experiment;
      const existing = await store.getExperimentByName(name);
      const { experimentId, lifecycleStage: stage } = existing ?? (await store.createExperiment(name, { tags }));
      if (existing !== undefined && stage === "active")
        for (const tag of tags) await store.setExperimentTag(experimentId, tag);
      // Runs can be written to an active experiment only; one that was deleted is so again when they are there.
      if (lifecycleStage === "active" && stage === "deleted") await store.restoreExperiment(experimentId);
      return experimentId;
    },
    run: async (experimentId, from) => {
      const { info, data, inputs } = from.run;
      const filter = `tags.\`${originTag}\` = '${info.runId}'`;
      const known = (await store.searchRuns({ experimentIds: [experimentId], filter, view: "all", maxResults: 1 }))
        .items[0];
      // A copy that was interrupted is still running: it is completed.
      if (known?.data.tags.some(({ key, value }) => key === doneTag && value === "yes"))
        return { runId: known.info.runId, state: "present" };
      const tags = [...withoutOrigin(data.tags), { key: originTag, value: info.runId }];
      const run =
        known ??
        (await store.createRun(experimentId, {
          runName: info.runName,
          userId: info.userId,
          startTime: info.startTime,
          tags: tags.slice(0, 90),
        }));
      const { runId, artifactUri } = run.info;
      for (const batch of splitBatch({ params: data.params, tags: tags.slice(90) })) await store.logBatch(runId, batch);
      for (const { key } of data.metrics) {
        const points: readonly Metric[] = await from.history(key);
        for (const batch of splitBatch({ metrics: points })) await store.logBatch(runId, batch);
      }
      if (inputs.datasets.length > 0) await store.logInputs(runId, { datasets: inputs.datasets });
      await writeFiles(artifactUri, from.files());
      await store.setTag(runId, { key: doneTag, value: "yes" });
      await store.updateRun(runId, {
        status: info.status,
        ...(info.endTime === undefined ? {} : { endTime: info.endTime }),
      });
      if (info.lifecycleStage === "deleted") await store.deleteRun(runId);
      return { runId, state: "copied" };
    },
    loggedModel: async (experimentId, { model, files }, { runs }) => {
      const filter = `tags.\`${originTag}\` = '${model.modelId}'`;
      const known = (await store.searchLoggedModels({ experimentIds: [experimentId], filter, maxResults: 1 })).items[0];
      if (known?.tags.some(({ key, value }) => key === doneTag && value === "yes"))
        return { modelId: known.modelId, state: "present" };
      const sourceRunId = runs.get(model.sourceRunId);
      const { modelId, artifactUri } =
        known ??
        (await store.createLoggedModel(experimentId, {
          name: model.name,
          modelType: model.modelType,
          params: model.params,
          tags: [
            ...withoutOrigin(model.tags).filter(({ key }) => key !== versionsTag),
            { key: originTag, value: model.modelId },
          ],
          ...(sourceRunId === undefined ? {} : { sourceRunId }),
        }));
      await writeFiles(artifactUri, files());
      for (const from of new Set(model.metrics.map((metric) => metric.runId ?? ""))) {
        const runId = runs.get(from);
        if (runId === undefined) continue;
        const own = model.metrics
          .filter((metric) => metric.runId === from)
          .map(({ runId: _run, ...metric }) => ({ ...metric, modelId }));
        await writing(runId, async () => {
          for (const batch of splitBatch({ metrics: own })) await store.logBatch(runId, batch);
        });
      }
      await store.setLoggedModelTags(modelId, [{ key: doneTag, value: "yes" }]);
      await store.finalizeLoggedModel(modelId, model.status);
      return { modelId, state: "copied" };
    },
    links: (runId, { modelIds, outputs }) =>
      writing(runId, async () => {
        // Not every server takes a link twice.
        const known = await store.getRun(runId);
        const taken = modelIds.filter((id) => !known.inputs.modelIds.includes(id));
        const made = outputs.filter(({ modelId }) => !known.outputs.some((output) => output.modelId === modelId));
        if (taken.length > 0) await store.logInputs(runId, { modelIds: taken });
        if (made.length > 0) await store.logOutputs(runId, made);
      }),
    model: async ({ model, versions }, copied) => {
      try {
        await store.createRegisteredModel(model.name, { description: model.description, tags: model.tags });
      } catch (error) {
        if (!isPipelineError(error, "TRACKING_EXISTS")) throw error;
        return "present";
      }
      const numbers = new Map<string, string>();
      for (const version of versions) {
        const runId = copied.runs.get(version.runId);
        const modelId = copied.loggedModels.get(loggedModelOf(version));
        const uri = runId === undefined ? undefined : (await store.getRun(runId)).info.artifactUri;
        const source =
          modelId !== undefined
            ? `models:/${modelId}`
            : uri === undefined
              ? version.source
              : movedSource(version.source, uri);
        const made = await store.createModelVersion(model.name, {
          source,
          description: version.description,
          tags: [...withoutOrigin(version.tags), { key: originTag, value: `${model.name}/${version.version}` }],
          ...(runId === undefined ? {} : { runId }),
          ...(modelId === undefined ? {} : { modelId }),
        });
        numbers.set(version.version, made.version);
        if (version.stage !== "None")
          await store.transitionStage(model.name, made.version, { stage: version.stage, archiveExisting: "no" });
      }
      for (const { alias, version } of model.aliases) {
        const moved = numbers.get(version);
        if (moved !== undefined) await store.setAlias(model.name, { alias, version: moved });
      }
      return "copied";
    },
  };
}

const doneTag = "cifar.copied";
/** Written by whoever makes a version of a logged model. */
const versionsTag = "mlflow.modelVersions";

/** What was copied here from elsewhere is copied on under its name here. */
function withoutOrigin(tags: readonly Tag[]): readonly Tag[] {
  return tags.filter(({ key }) => key !== originTag && key !== doneTag);
}

/** The same place below the artifacts of the copied run. */
function movedSource(source: string, artifactUri: string): string {
  const below = /\/artifacts\/(.+)$/.exec(source)?.[1];
  return below === undefined ? artifactUri : `${artifactUri}/${below}`;
}

function quoted(text: string): string {
  return text.includes("'") ? `"${text}"` : `'${text}'`;
}
