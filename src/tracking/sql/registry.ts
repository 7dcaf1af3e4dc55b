import { type RawBuilder, type SqlBool, sql } from "kysely";
import { PipelineError } from "../../base/errors.ts";
import type { Page } from "../page.ts";
import {
  type ModelAlias,
  type ModelStage,
  type ModelVersion,
  type ModelVersionInit,
  modelStages,
  type RegisteredModel,
  type RegistrySearch,
} from "../registry.ts";
import { type Grammar, parseAttributeOrder, parseFilter } from "../search/grammar.ts";
import { modelVersionGrammar, registeredModelGrammar } from "../search/grammars.ts";
import { decodePageToken } from "../search/page-token.ts";
import { type Tag, trackingLimits } from "../types.ts";
import { checkAlias, checkLength, checkModelName, checkRegistryTag, invalid, missing } from "../validation.ts";
import { compare, hasKey } from "./conditions.ts";
import { getLoggedModel, setLoggedModelTags } from "./logged-models.ts";
import { loadModels, loadVersions, modelRow, type VersionRow, versionRow } from "./registry-rows.ts";
import { checkMaxResults, nextToken } from "./search-runs.ts";
import type { Session, WriteSession } from "./session.ts";

/** A prompt is a registered model with this tag; searches give models unless they ask for prompts. */
const promptTag = "mlflow.prompt.is_prompt";

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

interface ConditionSource {
  readonly filter: string | undefined;
  readonly grammar: Grammar;
  readonly columns: Readonly<Record<string, string>>;
  readonly table: "registered_models" | "model_versions";
}

function conditionsOf(
  { dialect }: Session,
  { filter, grammar, columns, table }: ConditionSource,
): RawBuilder<SqlBool>[] {
  const tagTable = table === "registered_models" ? "registered_model_tags" : "model_version_tags";
  const owner = (column: string) => sql.ref(`${table}.${column}`);
  const tie =
    table === "registered_models"
      ? sql`registered_model_tags.name = ${owner("name")}`
      : sql`model_version_tags.name = ${owner("name")} AND model_version_tags.version = ${owner("version")}`;
  const conditions = parseFilter(filter, grammar);
  const isPrompt = sql`EXISTS (SELECT 1 FROM ${sql.table(tagTable)} WHERE ${tie}
    AND ${sql.ref(`${tagTable}.key`)} = ${promptTag} AND ${sql.ref(`${tagTable}.value`)} = 'true')`;
  const aboutPrompts = conditions.find(({ entity, key }) => entity === "tag" && key === promptTag);
  const wantsPrompts =
    aboutPrompts !== undefined &&
    "value" in aboutPrompts &&
    (aboutPrompts.comparator === "=") === (String(aboutPrompts.value).toLowerCase() === "true");
  return [
    wantsPrompts ? sql<SqlBool>`${isPrompt}` : sql<SqlBool>`NOT ${isPrompt}`,
    ...conditions
      .filter((condition) => condition !== aboutPrompts)
      .map((condition) =>
        condition.entity === "tag"
          ? hasKey({ table: tagTable, value: "value", tie }, condition, dialect)
          : compare(owner(columns[condition.key]!), condition, dialect),
      ),
  ];
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
}

export async function deleteAlias(session: WriteSession, name: string, alias: string): Promise<void> {
  await modelRow(session, name);
  await session.db.deleteFrom("registered_model_aliases").where("name", "=", name).where("alias", "=", alias).execute();
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

export async function createModelVersion(
  session: WriteSession,
  name: string,
  init: ModelVersionInit,
): Promise<ModelVersion> {
  const { source, runId, runLink = "", modelId = "", description = "", tags = [] } = init;
  tags.forEach(checkRegistryTag);
  checkLength("source", source, 4000);
  if (source === "") throw invalid("Missing value for required parameter 'source'", "say where the model lies");
  checkLength("description", description, 5000);
  const origin = await resolveSource(session, source, modelId);
  await modelRow(session, name);
  const { db } = session;
  const time = session.now();
  await db.updateTable("registered_models").set({ last_updated_time: time }).where("name", "=", name).execute();
  // The update above holds the model's row: two writers do not count to the same number.
  const newest = await db
    .selectFrom("model_versions")
    .select("version")
    .where("name", "=", name)
    .orderBy("version", "desc")
    .executeTakeFirst();
  const version = (newest?.version ?? 0) + 1;
  await db
    .insertInto("model_versions")
    .values({
      ...{ name, version, creation_time: time, last_updated_time: time, description, current_stage: "None" },
      ...{
        source,
        storage_location: origin.location,
        run_id: runId ?? origin.runId,
        run_link: runLink,
        model_id: modelId,
      },
    })
    .execute();
  for (const tag of tags) await writeVersionTag(session, { name, version, tag });
  if (modelId !== "") await noteVersion(session, { modelId, name, version: String(version) });
  return getModelVersion(session, name, String(version));
}

/** Where a source of the form models:/NAME/VERSION or models:/ID really lies. */
async function resolveSource(session: Session, source: string, modelId: string) {
  const model = /^models:\/(m-[0-9a-f]{32})$/.exec(source)?.[1] ?? (modelId === "" ? undefined : modelId);
  const plain = { location: source, runId: "" };
  if (model !== undefined) {
    const { artifactUri, sourceRunId } = await getLoggedModel(session, model, "active");
    return { location: source.startsWith("models:") ? artifactUri : source, runId: sourceRunId };
  }
  const copied = /^models:\/([^/@]+)\/(\d+)$/.exec(source);
  if (copied === null) return plain;
  const row = await versionRow(session, copied[1]!, copied[2]!);
  return { location: row.storage_location, runId: row.run_id };
}

interface VersionNote {
  readonly modelId: string;
  readonly name: string;
  readonly version: string;
}

/** The tag by which a logged model knows its versions. */
async function noteVersion(session: WriteSession, { modelId, name, version }: VersionNote): Promise<void> {
  const key = "mlflow.modelVersions";
  const { tags } = await getLoggedModel(session, modelId, "all");
  const before = JSON.parse(tags.find((tag) => tag.key === key)?.value ?? "[]") as unknown[];
  await setLoggedModelTags(session, modelId, [{ key, value: JSON.stringify([...before, { name, version }]) }]);
}

export async function getModelVersion(session: Session, name: string, version: string): Promise<ModelVersion> {
  const [found] = await loadVersions(session, [await versionRow(session, name, version)]);
  return found!;
}

export async function updateModelVersion(
  session: WriteSession,
  name: string,
  change: { readonly version: string; readonly description: string },
): Promise<ModelVersion> {
  const { version, description } = change;
  checkLength("description", description, 5000);
  const row = await versionRow(session, name, version);
  await touch(session, row, { description });
  return getModelVersion(session, name, version);
}

export async function transitionStage(
  session: WriteSession,
  name: string,
  change: { readonly version: string; readonly stage: string; readonly archiveExisting: "yes" | "no" },
): Promise<ModelVersion> {
  const stage = toStage(change.stage);
  const isServing = stage === "Staging" || stage === "Production";
  if (change.archiveExisting === "yes" && !isServing)
    throw invalid(
      `Model version transition cannot archive existing model versions because '${stage}' is not an Active stage`,
      "active stages are Staging and Production",
    );
  const row = await versionRow(session, name, change.version);
  const time = session.now();
  if (change.archiveExisting === "yes")
    await session.db
      .updateTable("model_versions")
      .set({ current_stage: "Archived", last_updated_time: time })
      .where("name", "=", name)
      .where("version", "!=", row.version)
      .where("current_stage", "=", stage)
      .execute();
  await touch(session, row, { current_stage: stage });
  return getModelVersion(session, name, change.version);
}

async function touch(session: WriteSession, row: VersionRow, change: Partial<VersionRow>): Promise<void> {
  const time = session.now();
  const { name, version } = row;
  await session.db
    .updateTable("model_versions")
    .set({ ...change, last_updated_time: time })
    .where("name", "=", name)
    .where("version", "=", version)
    .execute();
  await session.db.updateTable("registered_models").set({ last_updated_time: time }).where("name", "=", name).execute();
}

export async function deleteModelVersion(session: WriteSession, name: string, version: string): Promise<void> {
  const row = await versionRow(session, name, version);
  const { db } = session;
  await db.deleteFrom("registered_model_aliases").where("name", "=", name).where("version", "=", row.version).execute();
  await db.deleteFrom("model_versions").where("name", "=", name).where("version", "=", row.version).execute();
  await db
    .updateTable("registered_models")
    .set({ last_updated_time: session.now() })
    .where("name", "=", name)
    .execute();
}

export async function getDownloadUri(session: Session, name: string, version: string): Promise<string> {
  return (await versionRow(session, name, version)).storage_location;
}

export async function searchModelVersions(session: Session, search: RegistrySearch): Promise<Page<ModelVersion>> {
  const { filter, orderBy = [], maxResults = 10_000, pageToken } = search;
  checkMaxResults(maxResults, trackingLimits.modelVersionResults);
  const offset = decodePageToken(pageToken);
  const columns = {
    name: "name",
    run_id: "run_id",
    source_path: "source",
    version_number: "version",
    creation_timestamp: "creation_time",
    last_updated_timestamp: "last_updated_time",
  };
  let query = session.db.selectFrom("model_versions").selectAll();
  for (const condition of conditionsOf(session, {
    filter,
    grammar: modelVersionGrammar,
    columns,
    table: "model_versions",
  }))
    query = query.where(condition);
  const orders = parseAttributeOrder(
    orderBy.length === 0 ? ["last_updated_timestamp DESC"] : orderBy,
    modelVersionGrammar,
  );
  for (const { key, direction } of orders)
    query = query.orderBy(sql.ref(columns[key as "name"]), direction === "ascending" ? "asc" : "desc");
  const rows = await query
    .orderBy("name")
    .orderBy("version", "desc")
    .limit(maxResults + 1)
    .offset(offset)
    .execute();
  const items = await loadVersions(session, rows.slice(0, maxResults));
  return { items, nextPageToken: nextToken(rows.length, offset, maxResults) };
}

export async function setModelVersionTag(
  session: WriteSession,
  name: string,
  { version, tag }: { readonly version: string; readonly tag: Tag },
): Promise<void> {
  checkRegistryTag(tag);
  const row = await versionRow(session, name, version);
  await writeVersionTag(session, { name, version: row.version, tag });
}

export async function deleteModelVersionTag(
  session: WriteSession,
  name: string,
  { version, key }: { readonly version: string; readonly key: string },
): Promise<void> {
  const row = await versionRow(session, name, version);
  await session.db
    .deleteFrom("model_version_tags")
    .where("name", "=", name)
    .where("version", "=", row.version)
    .where("key", "=", key)
    .execute();
}

async function writeModelTag({ db }: WriteSession, name: string, { key, value }: Tag): Promise<void> {
  await db
    .insertInto("registered_model_tags")
    .values({ name, key, value })
    .onConflict((conflict) => conflict.columns(["name", "key"]).doUpdateSet({ value }))
    .execute();
}

interface VersionTag {
  readonly name: string;
  readonly version: number;
  readonly tag: Tag;
}

async function writeVersionTag(
  { db }: WriteSession,
  { name, version, tag: { key, value } }: VersionTag,
): Promise<void> {
  await db
    .insertInto("model_version_tags")
    .values({ name, version, key, value })
    .onConflict((conflict) => conflict.columns(["name", "version", "key"]).doUpdateSet({ value }))
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

function toStage(word: string): ModelStage {
  const stage = modelStages.find((known) => known.toLowerCase() === word.toLowerCase());
  if (stage !== undefined) return stage;
  throw invalid(`Invalid Model Version stage: ${word}. Value must be one of ${modelStages.join(", ")}.`, "choose one");
}
