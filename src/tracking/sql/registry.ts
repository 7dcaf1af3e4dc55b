import { sql } from "kysely";
import { PipelineError } from "../../base/errors.ts";
import type { Page } from "../page.ts";
import {
  type ModelAlias,
  type ModelVersion,
  modelStages,
  type RegisteredModel,
  type RegistrySearch,
} from "../registry.ts";
import { parseAttributeOrder } from "../search/grammar.ts";
import { registeredModelGrammar } from "../search/grammars.ts";
import { decodePageToken } from "../search/page-token.ts";
import { type Tag, trackingLimits } from "../types.ts";
import { checkAlias, checkLength, checkModelName, checkRegistryTag, invalid, missing } from "../validation.ts";
import { getModelVersion, toStage } from "./model-versions.ts";
import { conditionsOf } from "./registry-conditions.ts";
import { noteEvent } from "./registry-history.ts";
import { loadModels, modelRow, versionRow } from "./registry-rows.ts";
import { checkMaxResults, nextToken } from "./search-runs.ts";
import type { Session, WriteSession } from "./session.ts";

export async function createRegisteredModel(
  session: WriteSession,
  name: string,
  { description = "", tags = [] }: { readonly description?: string; readonly tags?: readonly Tag[] },
): Promise<RegisteredModel> {
  checkModelName(name);
  tags.forEach(checkRegistryTag);
  checkLength("description", description, 5000);
  await checkFree(session, name);
  const time = session.now();
  await session.db
    .insertInto("registered_models")
    .values({ name, creation_time: time, last_updated_time: time, description })
    .execute();
  for (const tag of tags) await writeModelTag(session, name, tag);
  return getRegisteredModel(session, name);
}

export async function getRegisteredModel(session: Session, name: string): Promise<RegisteredModel> {
  const [model] = await loadModels(session, [await modelRow(session, name)]);
  return model!;
}

export async function renameRegisteredModel(
  session: WriteSession,
  name: string,
  newName: string,
): Promise<RegisteredModel> {
  checkModelName(newName);
  await modelRow(session, name);
  if (newName !== name) await checkFree(session, newName);
  const time = session.now();
  const { db } = session;
  await db.updateTable("model_versions").set({ last_updated_time: time }).where("name", "=", name).execute();
  // Versions, tags and aliases follow by their foreign keys.
  await db
    .updateTable("registered_models")
    .set({ name: newName, last_updated_time: time })
    .where("name", "=", name)
    .execute();
  return getRegisteredModel(session, newName);
}

export async function updateRegisteredModel(
  session: WriteSession,
  name: string,
  description: string,
): Promise<RegisteredModel> {
  checkLength("description", description, 5000);
  await modelRow(session, name);
  await session.db
    .updateTable("registered_models")
    .set({ description, last_updated_time: session.now() })
    .where("name", "=", name)
    .execute();
  return getRegisteredModel(session, name);
}

export async function deleteRegisteredModel(session: WriteSession, name: string): Promise<void> {
  await modelRow(session, name);
  await session.db.deleteFrom("registered_models").where("name", "=", name).execute();
}

export async function searchRegisteredModels(session: Session, search: RegistrySearch): Promise<Page<RegisteredModel>> {
  const { filter, orderBy, maxResults = 100, pageToken } = search;
  checkMaxResults(maxResults, trackingLimits.registeredModelResults);
  const offset = decodePageToken(pageToken);
  let query = session.db.selectFrom("registered_models").selectAll();
  const columns = { name: "name", last_updated_timestamp: "last_updated_time" };
  for (const condition of conditionsOf(session, {
    filter,
    grammar: registeredModelGrammar,
    columns,
    table: "registered_models",
  }))
    query = query.where(condition);
  const orders = parseAttributeOrder(orderBy, registeredModelGrammar);
  for (const { key, direction } of orders)
    query = query.orderBy(sql.ref(columns[key as "name"]), direction === "ascending" ? "asc" : "desc");
  const rows = await query
    .orderBy("name")
    .limit(maxResults + 1)
    .offset(offset)
    .execute();
  const items = await loadModels(session, rows.slice(0, maxResults));
  return { items, nextPageToken: nextToken(rows.length, offset, maxResults) };
}

export async function setRegisteredModelTag(session: WriteSession, name: string, tag: Tag): Promise<void> {
  checkRegistryTag(tag);
  await modelRow(session, name);
  await writeModelTag(session, name, tag);
}

export async function deleteRegisteredModelTag(session: WriteSession, name: string, key: string): Promise<void> {
  await modelRow(session, name);
  await session.db.deleteFrom("registered_model_tags").where("name", "=", name).where("key", "=", key).execute();
}

export async function setAlias(session: WriteSession, name: string, { alias, version }: ModelAlias): Promise<void> {
  checkAlias(alias);
  const row = await versionRow(session, name, version);
  await session.db
    .insertInto("registered_model_aliases")
    .values({ name, alias, version: row.version })
    .onConflict((conflict) => conflict.columns(["name", "alias"]).doUpdateSet({ version: row.version }))
    .execute();
  await noteEvent(session, name, { version: row.version, kind: "alias set", value: alias });
}

export async function deleteAlias(session: WriteSession, name: string, alias: string): Promise<void> {
  await modelRow(session, name);
  const removed = await session.db
    .deleteFrom("registered_model_aliases")
    .where("name", "=", name)
    .where("alias", "=", alias)
    .returning("version")
    .execute();
  for (const { version } of removed) await noteEvent(session, name, { version, kind: "alias removed", value: alias });
}

export async function getModelVersionByAlias(session: Session, name: string, alias: string): Promise<ModelVersion> {
  await modelRow(session, name);
  if (alias.toLowerCase() === "latest") {
    const newest = await session.db
      .selectFrom("model_versions")
      .select("version")
      .where("name", "=", name)
      .orderBy("version", "desc")
      .executeTakeFirst();
    if (newest === undefined) throw missing(`Latest version not found for model ${name}.`, { name });
    return getModelVersion(session, name, String(newest.version));
  }
  const row = await session.db
    .selectFrom("registered_model_aliases")
    .select("version")
    .where("name", "=", name)
    .where("alias", "=", alias)
    .executeTakeFirst();
  if (row === undefined) throw invalid(`Registered model alias ${alias} not found.`, "set it first", { name, alias });
  return getModelVersion(session, name, String(row.version));
}

export async function getLatestVersions(
  session: Session,
  name: string,
  stages: readonly string[],
): Promise<readonly ModelVersion[]> {
  const wanted = stages.length === 0 ? modelStages : stages.map(toStage);
  const { latestVersions } = await getRegisteredModel(session, name);
  return latestVersions.filter(({ stage }) => wanted.includes(stage));
}

async function writeModelTag({ db }: WriteSession, name: string, { key, value }: Tag): Promise<void> {
  await db
    .insertInto("registered_model_tags")
    .values({ name, key, value })
    .onConflict((conflict) => conflict.columns(["name", "key"]).doUpdateSet({ value }))
    .execute();
}

async function checkFree({ db }: WriteSession, name: string): Promise<void> {
  const taken = await db.selectFrom("registered_models").select("name").where("name", "=", name).executeTakeFirst();
  if (taken !== undefined)
    throw new PipelineError("TRACKING_EXISTS", `Registered Model (name=${name}) already exists.`, {
      remedy: "choose another name",
      details: { name },
    });
}
