import { sql } from "kysely";
import type { Page } from "../page.ts";
import {
  type ModelStage,
  type ModelVersion,
  type ModelVersionInit,
  modelStages,
  type RegistrySearch,
} from "../registry.ts";
import { parseAttributeOrder } from "../search/grammar.ts";
import { modelVersionGrammar } from "../search/grammars.ts";
import { decodePageToken } from "../search/page-token.ts";
import { type Tag, trackingLimits } from "../types.ts";
import { checkLength, checkRegistryTag, invalid } from "../validation.ts";
import { getLoggedModel, setLoggedModelTags } from "./logged-models.ts";
import { conditionsOf } from "./registry-conditions.ts";
import { noteEvent } from "./registry-history.ts";
import { loadVersions, modelRow, type VersionRow, versionRow } from "./registry-rows.ts";
import { checkMaxResults, nextToken } from "./search-runs.ts";
import type { Session, WriteSession } from "./session.ts";

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
  await noteEvent(session, name, { version, kind: "created", value: "" });
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
  if (change.archiveExisting === "yes") {
    const replaced = await session.db
      .updateTable("model_versions")
      .set({ current_stage: "Archived", last_updated_time: time })
      .where("name", "=", name)
      .where("version", "!=", row.version)
      .where("current_stage", "=", stage)
      .returning("version")
      .execute();
    for (const { version } of replaced) await noteEvent(session, name, { version, kind: "stage", value: "Archived" });
  }
  await touch(session, row, { current_stage: stage });
  await noteEvent(session, name, { version: row.version, kind: "stage", value: stage });
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
  await noteEvent(session, name, { version: row.version, kind: "deleted", value: "" });
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

/** @throws TRACKING_INVALID for what is no stage */
export function toStage(word: string): ModelStage {
  const stage = modelStages.find((known) => known.toLowerCase() === word.toLowerCase());
  if (stage !== undefined) return stage;
  throw invalid(`Invalid Model Version stage: ${word}. Value must be one of ${modelStages.join(", ")}.`, "choose one");
}
