import { randomUUID } from "node:crypto";
import { PipelineError } from "../../base/errors.ts";
import { storageError } from "../../base/storage-error.ts";
import type { ModelEvent } from "../registry.ts";
import { defaultStorePath, type TrackingStore } from "../store.ts";
import type { Metric, MetricRange } from "../types.ts";
import { checkBatch, invalid } from "../validation.ts";
import { writeBatch } from "./batch.ts";
import { type Connection, messageOf } from "./dialect.ts";
import * as experiments from "./experiments.ts";
import * as history from "./history.ts";
import * as loggedModels from "./logged-models.ts";
import * as versions from "./model-versions.ts";
import { connectPostgresql } from "./postgresql.ts";
import * as registry from "./registry.ts";
import { getModelHistory } from "./registry-history.ts";
import * as runs from "./runs.ts";
import { searchRuns } from "./search-runs.ts";
import type { Session, WriteSession } from "./session.ts";
import { connectSqlite } from "./sqlite.ts";

/** A store that can also say what MLflow's API has no words for. */
export interface SqlStore extends TrackingStore {
  /** Of all metrics of these runs. */
  getMetricRanges(runIds: readonly string[]): Promise<readonly MetricRange[]>;
  /** Points of several runs for a picture, with their runId; unknown runs have none. */
  getMetricCurves(search: history.CurveSearch): Promise<readonly (Metric & { readonly runId: string })[]>;
  /** What happened to the versions of a registered model, the newest first. */
  getModelHistory(name: string): Promise<readonly ModelEvent[]>;
}

export interface SqlStoreOptions {
  /** A file, created when missing, ":memory:", or postgresql://USER:PASSWORD@HOST/DATABASE. */
  readonly path?: string;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** 32 hexadecimal digits, never the same twice. */
  readonly newId?: () => string;
}

/** Opens a tracking store in an SQL database; several processes may use it at the same time. */
export async function openSqlStore({
  path = defaultStorePath,
  now = Date.now,
  newId = () => randomUUID().replaceAll("-", ""),
}: SqlStoreOptions = {}): Promise<SqlStore> {
  const connection = await connect(path, now());
  const { db, dialect, label } = connection;
  const guarded = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      if (error instanceof PipelineError) throw error;
      if (dialect.isTaken(error))
        throw new PipelineError("TRACKING_EXISTS", "another writer was first with that name", { cause: error });
      const full = storageError(error, `the tracking store ${label}`);
      if (full !== undefined) throw full;
      throw new PipelineError("TRACKING_STORE_FAILED", `the tracking store ${label} failed: ${messageOf(error)}`, {
        cause: error,
        details: { path: label },
      });
    }
  };
  const parts = { dialect, now, newId };
  const read = <T>(work: (session: Session) => Promise<T>): Promise<T> => guarded(() => work({ ...parts, db }));
  const write = <T>(work: (session: WriteSession) => Promise<T>): Promise<T> =>
    guarded(() => dialect.retry(() => db.transaction().execute((trx) => work({ ...parts, db: trx }))));

  await write(experiments.createDefaultExperiment);

  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closed ??= guarded(() => db.destroy());
    return closed;
  };

  return {
    createExperiment: (name, init = {}) => write((s) => experiments.createExperiment(s, name, init)),
    getExperiment: (id) => read((s) => experiments.getExperiment(s, id)),
    getExperimentByName: (name) => read((s) => experiments.getExperimentByName(s, name)),
    searchExperiments: (search = {}) => read((s) => experiments.searchExperiments(s, search)),
    renameExperiment: (id, name) => write((s) => experiments.renameExperiment(s, id, name)),
    deleteExperiment: (id) => write((s) => experiments.setExperimentStage(s, id, "deleted")),
    restoreExperiment: (id) => write((s) => experiments.setExperimentStage(s, id, "active")),
    setExperimentTag: (id, tag) => write((s) => experiments.setExperimentTag(s, id, tag)),
    deleteExperimentTag: (id, key) => write((s) => experiments.deleteExperimentTag(s, id, key)),

    createRun: (experimentId, init = {}) => write((s) => runs.createRun(s, experimentId, init)),
    getRun: (runId) => read((s) => runs.getRun(s, runId)),
    updateRun: (runId, update) => write((s) => runs.updateRun(s, runId, update)),
    deleteRun: (runId) => write((s) => runs.setRunStage(s, runId, "deleted")),
    restoreRun: (runId) => write((s) => runs.setRunStage(s, runId, "active")),
    searchRuns: (search) => read((s) => searchRuns(s, search)),

    logBatch: (runId, batch) =>
      write(async (s) => {
        checkBatch(batch);
        await runs.getActiveRun(s, runId);
        await writeBatch(s, runId, batch);
      }),
    setTag: (runId, tag) => write((s) => runs.setTag(s, runId, tag)),
    deleteTag: (runId, key) => write((s) => runs.deleteTag(s, runId, key)),
    logInputs: (runId, inputs) => write((s) => runs.logInputs(s, runId, inputs)),
    logOutputs: (runId, models) => write((s) => runs.logOutputs(s, runId, models)),

    getMetricHistory: (runId, key, page = {}) => read((s) => history.getMetricHistory(s, { runId, key, ...page })),
    sampleMetricHistory: (search) => read((s) => history.sampleMetricHistory(s, search)),
    getMetricRanges: (runIds) => read((s) => history.getMetricRanges(s, runIds)),
    getMetricCurves: (search) => read((s) => history.getMetricCurves(s, search)),
    searchDatasets: (experimentIds) => read((s) => history.searchDatasets(s, experimentIds)),

    createLoggedModel: (experimentId, init = {}) => write((s) => loggedModels.createLoggedModel(s, experimentId, init)),
    getLoggedModel: (modelId, { view = "active" } = {}) => read((s) => loggedModels.getLoggedModel(s, modelId, view)),
    finalizeLoggedModel: (modelId, status) => write((s) => loggedModels.finalizeLoggedModel(s, modelId, status)),
    deleteLoggedModel: (modelId) => write((s) => loggedModels.deleteLoggedModel(s, modelId)),
    setLoggedModelTags: (modelId, tags) => write((s) => loggedModels.setLoggedModelTags(s, modelId, tags)),
    deleteLoggedModelTag: (modelId, key) => write((s) => loggedModels.deleteLoggedModelTag(s, modelId, key)),
    logLoggedModelParams: (modelId, params) => write((s) => loggedModels.logLoggedModelParams(s, modelId, params)),
    searchLoggedModels: (search) => read((s) => loggedModels.searchLoggedModels(s, search)),

    createRegisteredModel: (name, init = {}) => write((s) => registry.createRegisteredModel(s, name, init)),
    getRegisteredModel: (name) => read((s) => registry.getRegisteredModel(s, name)),
    renameRegisteredModel: (name, newName) => write((s) => registry.renameRegisteredModel(s, name, newName)),
    updateRegisteredModel: (name, text) => write((s) => registry.updateRegisteredModel(s, name, text)),
    deleteRegisteredModel: (name) => write((s) => registry.deleteRegisteredModel(s, name)),
    searchRegisteredModels: (search = {}) => read((s) => registry.searchRegisteredModels(s, search)),
    setRegisteredModelTag: (name, tag) => write((s) => registry.setRegisteredModelTag(s, name, tag)),
    deleteRegisteredModelTag: (name, key) => write((s) => registry.deleteRegisteredModelTag(s, name, key)),
    setAlias: (name, alias) => write((s) => registry.setAlias(s, name, alias)),
    deleteAlias: (name, alias) => write((s) => registry.deleteAlias(s, name, alias)),
    getModelVersionByAlias: (name, alias) => read((s) => registry.getModelVersionByAlias(s, name, alias)),
    getLatestVersions: (name, stages = []) => read((s) => registry.getLatestVersions(s, name, stages)),
    createModelVersion: (name, init) => write((s) => versions.createModelVersion(s, name, init)),
    getModelVersion: (name, version) => read((s) => versions.getModelVersion(s, name, version)),
    updateModelVersion: (name, version, description) =>
      write((s) => versions.updateModelVersion(s, name, { version, description })),
    transitionStage: (name, version, change) => write((s) => versions.transitionStage(s, name, { version, ...change })),
    deleteModelVersion: (name, version) => write((s) => versions.deleteModelVersion(s, name, version)),
    getDownloadUri: (name, version) => read((s) => versions.getDownloadUri(s, name, version)),
    searchModelVersions: (search = {}) => read((s) => versions.searchModelVersions(s, search)),
    setModelVersionTag: (name, version, tag) => write((s) => versions.setModelVersionTag(s, name, { version, tag })),
    deleteModelVersionTag: (name, version, key) =>
      write((s) => versions.deleteModelVersionTag(s, name, { version, key })),

    getModelHistory: (name) => read((s) => getModelHistory(s, name)),

    close,
    [Symbol.asyncDispose]: close,
  };
}

function connect(path: string, now: number): Promise<Connection> {
  if (/^postgres(ql)?:\/\//i.test(path)) return connectPostgresql(path, now);
  const scheme = /^([a-z][a-z0-9+.-]+):\/\//i.exec(path)?.[1];
  if (scheme === undefined) return connectSqlite(path, now);
  if (scheme === "sqlite") return connectSqlite(path.slice("sqlite:///".length), now);
  throw invalid(`a tracking store cannot be opened by the scheme ${scheme}`, "give a file or postgresql://…");
}
