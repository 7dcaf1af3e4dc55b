import { sql } from "kysely";
import { PipelineError } from "../../base/errors.ts";
import type { Page } from "../page.ts";
import { parseAttributeOrder, parseFilter } from "../search/grammar.ts";
import { experimentGrammar } from "../search/grammars.ts";
import { decodePageToken } from "../search/page-token.ts";
import type { ExperimentInit, ExperimentSearch } from "../store.ts";
import { type Experiment, type Tag, trackingLimits } from "../types.ts";
import { checkExperimentName, checkExperimentTag, checkLength, invalid, missing } from "../validation.ts";
import { compare, hasKey } from "./conditions.ts";
import { loadExperiments } from "./rows.ts";
import { checkMaxResults, nextToken, toExperimentId } from "./search-runs.ts";
import type { Session, WriteSession } from "./session.ts";

export async function createDefaultExperiment({ db, now }: WriteSession): Promise<void> {
  const values = { experiment_id: 0, name: "Default", ...newExperiment("mlflow-artifacts:/0", now()) };
  await db
    .insertInto("experiments")
    .values(values)
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

export async function createExperiment(session: WriteSession, name: string, init: ExperimentInit): Promise<Experiment> {
  const { db, now } = session;
  const { artifactLocation, tags = [] } = init;
  checkExperimentName(name);
  if (artifactLocation !== undefined) checkLength("artifact location", artifactLocation, 1000);
  tags.forEach(checkExperimentTag);
  await checkNameFree(session, name);
  const { experiment_id: id } = await db
    .insertInto("experiments")
    .values({ name, ...newExperiment(artifactLocation ?? "", now()) })
    .returning("experiment_id")
    .executeTakeFirstOrThrow();
  if (artifactLocation === undefined)
    await db
      .updateTable("experiments")
      .set({ artifact_location: `mlflow-artifacts:/${id}` })
      .where("experiment_id", "=", id)
      .execute();
  for (const tag of tags) await writeExperimentTag(session, id, tag);
  return getExperiment(session, String(id));
}

export async function getExperiment({ db }: Session, experimentId: string): Promise<Experiment> {
  const id = toExperimentId(experimentId);
  const rows = await db.selectFrom("experiments").selectAll().where("experiment_id", "=", id).execute();
  const [experiment] = await loadExperiments(db, rows);
  if (experiment === undefined) throw missing(`No Experiment with id=${experimentId} exists`, { experimentId });
  return experiment;
}

export async function getExperimentByName({ db }: Session, name: string): Promise<Experiment | undefined> {
  const rows = await db.selectFrom("experiments").selectAll().where("name", "=", name).execute();
  return (await loadExperiments(db, rows))[0];
}

export async function searchExperiments({ db, dialect }: Session, search: ExperimentSearch): Promise<Page<Experiment>> {
  const { filter, view = "active", orderBy = [], maxResults = 1000, pageToken } = search;
  checkMaxResults(maxResults, trackingLimits.searchResults);
  const offset = decodePageToken(pageToken);
  const orders = parseAttributeOrder(orderBy.length === 0 ? ["creation_time DESC"] : orderBy, experimentGrammar);
  let query = db.selectFrom("experiments").selectAll();
  if (view !== "all") query = query.where("lifecycle_stage", "=", view);
  for (const condition of parseFilter(filter, experimentGrammar)) {
    if (condition.entity === "tag") {
      const tie = sql`experiment_tags.experiment_id = experiments.experiment_id`;
      query = query.where(hasKey({ table: "experiment_tags", value: "value", tie }, condition, dialect));
      continue;
    }
    // Numbers that are given as text.
    const column =
      condition.key === "experiment_id" ? sql`CAST(experiments.experiment_id AS TEXT)` : sql.ref(condition.key);
    query = query.where(compare(column, condition, dialect));
  }
  for (const { key, direction } of orders) {
    query = query.orderBy(sql.ref(key), direction === "ascending" ? "asc" : "desc");
  }
  if (!orders.some(({ key }) => key === "experiment_id")) query = query.orderBy("experiment_id", "desc");
  const rows = await query
    .limit(maxResults + 1)
    .offset(offset)
    .execute();
  const items = await loadExperiments(db, rows.slice(0, maxResults));
  return { items, nextPageToken: nextToken(rows.length, offset, maxResults) };
}

export async function renameExperiment(session: WriteSession, experimentId: string, name: string): Promise<void> {
  checkExperimentName(name);
  const experiment = await getExperiment(session, experimentId);
  if (experiment.lifecycleStage !== "active")
    throw new PipelineError("TRACKING_STATE", "Cannot rename a non-active experiment", {
      remedy: "restore it first",
      details: { experimentId },
    });
  if (experiment.name !== name) await checkNameFree(session, name);
  await session.db
    .updateTable("experiments")
    .set({ name, last_update_time: session.now() })
    .where("experiment_id", "=", Number(experimentId))
    .execute();
}

export async function setExperimentStage(
  session: WriteSession,
  experimentId: string,
  stage: "active" | "deleted",
): Promise<void> {
  const { lifecycleStage } = await getExperiment(session, experimentId);
  if (lifecycleStage === stage)
    throw missing(`No Experiment with id=${experimentId} exists that is not ${stage} already`, { experimentId });
  const { db, now } = session;
  const id = Number(experimentId);
  const time = now();
  await db
    .updateTable("experiments")
    .set({ lifecycle_stage: stage, last_update_time: time })
    .where("experiment_id", "=", id)
    .execute();
  await db
    .updateTable("runs")
    .set({ lifecycle_stage: stage, deleted_time: stage === "deleted" ? time : null })
    .where("experiment_id", "=", id)
    .execute();
}

export async function setExperimentTag(session: WriteSession, experimentId: string, tag: Tag): Promise<void> {
  checkExperimentTag(tag);
  await getActiveExperiment(session, experimentId);
  await writeExperimentTag(session, Number(experimentId), tag);
}

export async function deleteExperimentTag(session: WriteSession, experimentId: string, key: string): Promise<void> {
  await getActiveExperiment(session, experimentId);
  const deleted = await session.db
    .deleteFrom("experiment_tags")
    .where("experiment_id", "=", Number(experimentId))
    .where("key", "=", key)
    .returning("key")
    .execute();
  if (deleted.length === 0)
    throw missing(`No tag with name: ${key} in experiment with id ${experimentId}`, { experimentId, key });
}

export async function getActiveExperiment(session: Session, experimentId: string): Promise<Experiment> {
  const experiment = await getExperiment(session, experimentId);
  if (experiment.lifecycleStage !== "active")
    throw invalid(
      `The experiment ${experimentId} must be in the 'active' state. Current state is ${experiment.lifecycleStage}`,
      "restore it or use another one",
      { experimentId },
    );
  return experiment;
}

async function writeExperimentTag({ db }: WriteSession, id: number, { key, value }: Tag): Promise<void> {
  await db
    .insertInto("experiment_tags")
    .values({ experiment_id: id, key, value })
    .onConflict((conflict) => conflict.columns(["experiment_id", "key"]).doUpdateSet({ value }))
    .execute();
}

async function checkNameFree({ db }: WriteSession, name: string): Promise<void> {
  const taken = await db
    .selectFrom("experiments")
    .select("lifecycle_stage")
    .where("name", "=", name)
    .executeTakeFirst();
  if (taken !== undefined)
    throw new PipelineError("TRACKING_EXISTS", `Experiment(name=${name}) already exists`, {
      remedy: taken.lifecycle_stage === "deleted" ? "it is deleted: choose another name" : "choose another name",
      details: { name },
    });
}

function newExperiment(artifactLocation: string, time: number) {
  return {
    artifact_location: artifactLocation,
    lifecycle_stage: "active",
    creation_time: time,
    last_update_time: time,
  } as const;
}
