import { randomUUID } from "node:crypto";
import type { Kysely, Transaction } from "kysely";
import { PipelineError } from "../base/errors.ts";
import { runNameTag, writeBatch, writeTags } from "./sqlite-batch.ts";
import { messageOf, openTrackingDatabase, retryWhenBusy } from "./sqlite-connection.ts";
import { loadExperiments, loadRuns, toMetric, toRunInfo } from "./sqlite-rows.ts";
import type { TrackingDatabase } from "./sqlite-schema.ts";
import { searchRuns } from "./sqlite-search.ts";
import type { RunInit, RunUpdate, TrackingStore } from "./store.ts";
import { type Run, type RunInfo, runStatuses, type Tag } from "./types.ts";
import {
  checkBatch,
  checkExperimentName,
  checkLength,
  checkRunName,
  checkTag,
  checkTime,
  invalid,
} from "./validation.ts";

export const defaultStorePath = "runs/tracking.sqlite";

export interface SqliteStoreOptions {
  /** A file, created when missing, or ":memory:". */
  readonly path?: string;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** 32 hexadecimal digits, never the same twice. */
  readonly newRunId?: () => string;
}

/** Opens a tracking store in an SQLite file; several processes may use it at the same time. */
export async function openSqliteStore({
  path = defaultStorePath,
  now = Date.now,
  newRunId = () => randomUUID().replaceAll("-", ""),
}: SqliteStoreOptions = {}): Promise<TrackingStore> {
  const db = await openTrackingDatabase(path, now());
  const guarded = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      if (error instanceof PipelineError) throw error;
      throw new PipelineError("TRACKING_STORE_FAILED", `the tracking store ${path} failed: ${messageOf(error)}`, {
        cause: error,
        details: { path },
      });
    }
  };
  const read = <T>(work: (db: Kysely<TrackingDatabase>) => Promise<T>): Promise<T> => guarded(() => work(db));
  const write = <T>(work: (trx: Transaction<TrackingDatabase>) => Promise<T>): Promise<T> =>
    guarded(() => retryWhenBusy(() => db.transaction().execute(work)));

  await write(async (trx) => {
    const time = now();
    await trx
      .insertInto("experiments")
      .values({ experiment_id: 0, name: "Default", ...newExperiment("mlflow-artifacts:/0", time) })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  });

  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closed ??= guarded(() => db.destroy());
    return closed;
  };

  return {
    createExperiment: (name, { artifactLocation, tags = [] } = {}) =>
      write(async (trx) => {
        checkExperimentName(name);
        if (artifactLocation !== undefined) checkLength("artifact location", artifactLocation, 1000);
        tags.forEach(checkTag);
        const taken = await trx
          .selectFrom("experiments")
          .select("lifecycle_stage")
          .where("name", "=", name)
          .executeTakeFirst();
        if (taken !== undefined)
          throw new PipelineError("TRACKING_EXISTS", `there is already an experiment ${JSON.stringify(name)}`, {
            remedy: taken.lifecycle_stage === "deleted" ? "it is deleted: choose another name" : "choose another name",
            details: { name },
          });
        const { experiment_id: id } = await trx
          .insertInto("experiments")
          .values({ name, ...newExperiment(artifactLocation ?? "", now()) })
          .returning("experiment_id")
          .executeTakeFirstOrThrow();
        if (artifactLocation === undefined)
          await trx
            .updateTable("experiments")
            .set({ artifact_location: `mlflow-artifacts:/${id}` })
            .where("experiment_id", "=", id)
            .execute();
        for (const { key, value } of tags)
          await trx
            .insertInto("experiment_tags")
            .values({ experiment_id: id, key, value })
            .onConflict((conflict) => conflict.columns(["experiment_id", "key"]).doUpdateSet({ value }))
            .execute();
        return await getExperiment(trx, String(id));
      }),
    getExperiment: (experimentId) => read((reader) => getExperiment(reader, experimentId)),
    getExperimentByName: (name) =>
      read(async (reader) => {
        const rows = await reader.selectFrom("experiments").selectAll().where("name", "=", name).execute();
        return (await loadExperiments(reader, rows))[0];
      }),
    listExperiments: ({ view = "active" } = {}) =>
      read(async (reader) => {
        let query = reader.selectFrom("experiments").selectAll();
        if (view !== "all") query = query.where("lifecycle_stage", "=", view);
        const rows = await query.orderBy("creation_time", "desc").orderBy("experiment_id", "desc").execute();
        return loadExperiments(reader, rows);
      }),

    createRun: (experimentId, init = {}) =>
      write(async (trx) => {
        const experiment = await getExperiment(trx, experimentId);
        if (experiment.lifecycleStage !== "active")
          throw invalid(`experiment ${experimentId} is deleted`, "restore it or use another one", { experimentId });
        const runId = newRunId();
        const { tags, ...row } = newRun({ runId, init, now: now() });
        await trx
          .insertInto("runs")
          .values({
            ...row,
            experiment_id: Number(experimentId),
            artifact_uri: `${experiment.artifactLocation.replace(/\/+$/, "")}/${runId}/artifacts`,
          })
          .execute();
        await writeTags(trx, runId, tags);
        return getRun(trx, runId);
      }),
    getRun: (runId) => read((reader) => getRun(reader, runId)),
    updateRun: (runId, update) =>
      write(async (trx) => {
        const info = await getActiveRun(trx, runId);
        const changes = runChanges({ info, update, now: now() });
        if (Object.keys(changes).length > 0)
          await trx.updateTable("runs").set(changes).where("run_uuid", "=", runId).execute();
        if (update.runName !== undefined) await writeTags(trx, runId, [{ key: runNameTag, value: update.runName }]);
        return getRun(trx, runId);
      }),
    deleteRun: (runId) => write((trx) => setStage(trx, { runId, stage: "deleted", time: now() })),
    restoreRun: (runId) => write((trx) => setStage(trx, { runId, stage: "active", time: null })),
    searchRuns: (search) => read((reader) => searchRuns(reader, search)),

    logBatch: (runId, batch) =>
      write(async (trx) => {
        checkBatch(batch);
        await getActiveRun(trx, runId);
        await writeBatch(trx, runId, batch);
      }),
    setTag: (runId, tag) =>
      write(async (trx) => {
        checkTag(tag);
        await getActiveRun(trx, runId);
        await writeTags(trx, runId, [tag]);
      }),
    deleteTag: (runId, key) =>
      write(async (trx) => {
        await getActiveRun(trx, runId);
        if (key === runNameTag) throw invalid(`the tag ${key} is the run's name`, "set it instead", { runId, key });
        const deleted = await trx
          .deleteFrom("tags")
          .where("run_uuid", "=", runId)
          .where("key", "=", key)
          .returning("key")
          .execute();
        if (deleted.length === 0)
          throw new PipelineError("TRACKING_NOT_FOUND", `run ${runId} has no tag ${key}`, { details: { runId, key } });
      }),
    getMetricHistory: (runId, key) =>
      read(async (reader) => {
        await getRunInfo(reader, runId);
        const rows = await reader
          .selectFrom("metrics")
          .selectAll()
          .where("run_uuid", "=", runId)
          .where("key", "=", key)
          .orderBy("timestamp")
          .orderBy("step")
          .orderBy("value")
          .execute();
        return rows.map(toMetric);
      }),

    close,
    [Symbol.asyncDispose]: close,
  };
}

function newExperiment(artifactLocation: string, time: number) {
  return {
    artifact_location: artifactLocation,
    lifecycle_stage: "active",
    creation_time: time,
    last_update_time: time,
  } as const;
}

interface NewRun {
  readonly runId: string;
  readonly init: RunInit;
  readonly now: number;
}

function newRun({ runId, init, now }: NewRun) {
  const tags: readonly Tag[] = init.tags ?? [];
  tags.forEach(checkTag);
  const taggedName = tags.find(({ key }) => key === runNameTag)?.value;
  const name = init.runName ?? taggedName ?? `run-${runId.slice(0, 8)}`;
  checkRunName(name);
  checkLength("user id", init.userId ?? "", 256);
  const startTime = init.startTime ?? now;
  checkTime("start time", startTime);
  return {
    run_uuid: runId,
    name,
    user_id: init.userId ?? "",
    status: "RUNNING",
    start_time: startTime,
    end_time: null,
    deleted_time: null,
    lifecycle_stage: "active",
    tags: [...tags.filter(({ key }) => key !== runNameTag), { key: runNameTag, value: name }],
  } as const;
}

interface RunChange {
  readonly info: RunInfo;
  readonly update: RunUpdate;
  readonly now: number;
}

/** A final status brings an end time with it, any other takes it away. */
function runChanges({ info, update, now }: RunChange): { status?: string; end_time?: number | null } {
  if (update.runName !== undefined) checkRunName(update.runName);
  const status = update.status ?? info.status;
  if (!runStatuses.includes(status)) throw invalid(`run status ${status}`, `use one of ${runStatuses.join(", ")}`);
  if (update.endTime !== undefined) checkTime("end time", update.endTime);
  if (status === "RUNNING" || status === "SCHEDULED") {
    if (update.endTime !== undefined)
      throw invalid(`an end time for a run that is ${status}`, "give a final status with it", { runId: info.runId });
    return update.status === undefined ? {} : { status, end_time: null };
  }
  if (update.status === undefined && update.endTime === undefined) return {};
  return { status, end_time: update.endTime ?? info.endTime ?? now };
}

async function getExperiment(db: Kysely<TrackingDatabase>, experimentId: string) {
  const rows = /^\d{1,15}$/.test(experimentId)
    ? await db.selectFrom("experiments").selectAll().where("experiment_id", "=", Number(experimentId)).execute()
    : [];
  const [experiment] = await loadExperiments(db, rows);
  if (experiment === undefined)
    throw new PipelineError("TRACKING_NOT_FOUND", `there is no experiment ${experimentId}`, {
      details: { experimentId },
    });
  return experiment;
}

async function getRunRow(db: Kysely<TrackingDatabase>, runId: string) {
  const row = await db.selectFrom("runs").selectAll().where("run_uuid", "=", runId).executeTakeFirst();
  if (row === undefined)
    throw new PipelineError("TRACKING_NOT_FOUND", `there is no run ${runId}`, { details: { runId } });
  return row;
}

async function getRunInfo(db: Kysely<TrackingDatabase>, runId: string): Promise<RunInfo> {
  return toRunInfo(await getRunRow(db, runId));
}

async function getRun(db: Kysely<TrackingDatabase>, runId: string): Promise<Run> {
  const [run] = await loadRuns(db, [await getRunRow(db, runId)]);
  return run!;
}

async function getActiveRun(db: Kysely<TrackingDatabase>, runId: string): Promise<RunInfo> {
  const info = await getRunInfo(db, runId);
  if (info.lifecycleStage !== "active")
    throw invalid(`run ${runId} is deleted`, "restore it before changing it", { runId });
  return info;
}

interface StageChange {
  readonly runId: string;
  readonly stage: "active" | "deleted";
  readonly time: number | null;
}

async function setStage(db: Kysely<TrackingDatabase>, { runId, stage, time }: StageChange): Promise<void> {
  await getRunRow(db, runId);
  await db
    .updateTable("runs")
    .set({ lifecycle_stage: stage, deleted_time: time })
    .where("run_uuid", "=", runId)
    .execute();
}
