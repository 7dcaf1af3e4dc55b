import type { RunInit, RunUpdate } from "../store.ts";
import {
  type DatasetInput,
  type ModelOutput,
  type Run,
  type RunInfo,
  runStatuses,
  type Tag,
  trackingLimits,
} from "../types.ts";
import { checkDatasetInput, checkLength, checkRunName, checkTag, checkTime, invalid, missing } from "../validation.ts";
import { runNameTag, writeTags } from "./batch.ts";
import { getActiveExperiment } from "./experiments.ts";
import { loadRuns, toRunInfo } from "./rows.ts";
import type { Session, WriteSession } from "./session.ts";

export async function createRun(session: WriteSession, experimentId: string, init: RunInit): Promise<Run> {
  const experiment = await getActiveExperiment(session, experimentId);
  const runId = session.newId();
  const { tags, ...row } = newRun({ runId, init, now: session.now() });
  await session.db
    .insertInto("runs")
    .values({
      ...row,
      experiment_id: Number(experimentId),
      artifact_uri: `${experiment.artifactLocation.replace(/\/+$/, "")}/${runId}/artifacts`,
    })
    .execute();
  await writeTags(session, runId, tags);
  return getRun(session, runId);
}

interface NewRun {
  readonly runId: string;
  readonly init: RunInit;
  readonly now: number;
}

function newRun({ runId, init, now }: NewRun) {
  const { tags = [] } = init;
  tags.forEach(checkTag);
  const tagged = tags.find(({ key }) => key === runNameTag)?.value;
  if (init.runName !== undefined && tagged !== undefined && init.runName !== tagged)
    throw invalid(
      "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values " +
        `(run_name='${init.runName}', mlflow.runName='${tagged}')`,
      "give one of them",
    );
  const name = init.runName ?? tagged ?? `run-${runId.slice(0, 8)}`;
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

export async function updateRun(session: WriteSession, runId: string, update: RunUpdate): Promise<Run> {
  const info = await getActiveRun(session, runId);
  const changes = runChanges({ info, update, now: session.now() });
  if (Object.keys(changes).length > 0)
    await session.db.updateTable("runs").set(changes).where("run_uuid", "=", runId).execute();
  if (update.runName !== undefined) await writeTags(session, runId, [{ key: runNameTag, value: update.runName }]);
  return getRun(session, runId);
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
  if (status === "RUNNING" || status === "SCHEDULED")
    return update.status === undefined ? {} : { status, end_time: null };
  if (update.status === undefined && update.endTime === undefined) return {};
  return { status, end_time: update.endTime ?? info.endTime ?? now };
}

export async function setRunStage(session: WriteSession, runId: string, stage: "active" | "deleted"): Promise<void> {
  await getRunRow(session, runId);
  await session.db
    .updateTable("runs")
    .set({ lifecycle_stage: stage, deleted_time: stage === "deleted" ? session.now() : null })
    .where("run_uuid", "=", runId)
    .execute();
}

export async function setTag(session: WriteSession, runId: string, tag: Tag): Promise<void> {
  checkTag(tag);
  await getActiveRun(session, runId);
  await writeTags(session, runId, [tag]);
}

export async function deleteTag(session: WriteSession, runId: string, key: string): Promise<void> {
  await getActiveRun(session, runId);
  if (key === runNameTag) throw invalid(`the tag ${key} is the run's name`, "set it instead", { runId, key });
  const deleted = await session.db
    .deleteFrom("tags")
    .where("run_uuid", "=", runId)
    .where("key", "=", key)
    .returning("key")
    .execute();
  if (deleted.length === 0) throw missing(`No tag with name: ${key} in run with id ${runId}`, { runId, key });
}

export async function logInputs(
  session: WriteSession,
  runId: string,
  {
    datasets = [],
    modelIds = [],
  }: { readonly datasets?: readonly DatasetInput[]; readonly modelIds?: readonly string[] },
): Promise<void> {
  if (datasets.length > trackingLimits.datasetsPerBatch)
    throw invalid(`${datasets.length} datasets at once`, `give at most ${trackingLimits.datasetsPerBatch}`);
  datasets.forEach(checkDatasetInput);
  const { experimentId } = await getActiveRun(session, runId);
  const { db } = session;
  for (const { dataset, tags } of datasets) {
    const id = await datasetId(session, Number(experimentId), dataset);
    const { count } = await db
      .selectFrom("dataset_inputs")
      .select((eb) => eb.fn.countAll<number>().as("count"))
      .where("run_uuid", "=", runId)
      .executeTakeFirstOrThrow();
    const added = await db
      .insertInto("dataset_inputs")
      .values({ run_uuid: runId, dataset_uuid: id, position: Number(count) })
      .onConflict((conflict) => conflict.doNothing())
      .returning("dataset_uuid")
      .execute();
    if (added.length === 0) continue;
    for (const [name, value] of new Map(tags.map((tag) => [tag.key, tag.value])))
      await db.insertInto("input_tags").values({ run_uuid: runId, dataset_uuid: id, name, value }).execute();
  }
  for (const modelId of modelIds)
    await db
      .insertInto("model_inputs")
      .values({ run_uuid: runId, model_id: modelId })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
}

async function datasetId(
  { db, newId }: WriteSession,
  experimentId: number,
  dataset: DatasetInput["dataset"],
): Promise<string> {
  const { name, digest, sourceType, source, schema, profile } = dataset;
  const fresh = newId();
  await db
    .insertInto("datasets")
    .values({
      dataset_uuid: fresh,
      experiment_id: experimentId,
      name,
      digest,
      dataset_source_type: sourceType,
      dataset_source: source,
      dataset_schema: schema ?? null,
      dataset_profile: profile ?? null,
    })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const { dataset_uuid } = await db
    .selectFrom("datasets")
    .select("dataset_uuid")
    .where("experiment_id", "=", experimentId)
    .where("name", "=", name)
    .where("digest", "=", digest)
    .executeTakeFirstOrThrow();
  return dataset_uuid;
}

export async function logOutputs(session: WriteSession, runId: string, models: readonly ModelOutput[]): Promise<void> {
  await getActiveRun(session, runId);
  for (const { modelId, step } of models)
    await session.db
      .insertInto("model_outputs")
      .values({ run_uuid: runId, model_id: modelId, step })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
}

export async function getRun(session: Session, runId: string): Promise<Run> {
  const [run] = await loadRuns(session.db, [await getRunRow(session, runId)]);
  return run!;
}

export async function getRunRow({ db }: Session, runId: string) {
  const row = await db.selectFrom("runs").selectAll().where("run_uuid", "=", runId).executeTakeFirst();
  if (row === undefined) throw missing(`Run with id=${runId} not found`, { runId });
  return row;
}

/** Locks the run against other writers where the database does not do so by itself. */
export async function getActiveRun(session: WriteSession, runId: string): Promise<RunInfo> {
  await session.dialect.lockRun(session.db, runId);
  const info = toRunInfo(await getRunRow(session, runId));
  if (info.lifecycleStage !== "active")
    throw invalid(
      `The run ${runId} must be in the 'active' state. Current state is ${info.lifecycleStage}`,
      "restore it before changing it",
      { runId },
    );
  return info;
}
