import type { ModelStage, ModelVersion, RegisteredModel } from "../registry.ts";
import { checkModelName, invalid, missing } from "../validation.ts";
import { inChunks } from "./rows.ts";
import type { TrackingDatabase } from "./schema.ts";
import type { Session } from "./session.ts";

type ModelRow = TrackingDatabase["registered_models"];
export type VersionRow = TrackingDatabase["model_versions"];

export async function modelRow({ db }: Session, name: string): Promise<ModelRow> {
  checkModelName(name);
  const row = await db.selectFrom("registered_models").selectAll().where("name", "=", name).executeTakeFirst();
  if (row === undefined) throw missing(`Registered Model with name=${name} not found`, { name });
  return row;
}

export async function versionRow({ db }: Session, name: string, version: string): Promise<VersionRow> {
  checkModelName(name);
  if (!/^\d{1,9}$/.test(version))
    throw invalid(`Parameter 'version' must be an integer, got '${version}'.`, "give a number from 1");
  const row = await db
    .selectFrom("model_versions")
    .selectAll()
    .where("name", "=", name)
    .where("version", "=", Number(version))
    .executeTakeFirst();
  if (row === undefined) throw missing(`Model Version (name=${name}, version=${version}) not found`, { name, version });
  return row;
}

export async function loadModels(session: Session, rows: readonly ModelRow[]): Promise<RegisteredModel[]> {
  const { db } = session;
  const names = rows.map(({ name }) => name);
  const tags = await inChunks(names, (chunk) =>
    db.selectFrom("registered_model_tags").selectAll().where("name", "in", chunk).orderBy("key").execute(),
  );
  const aliases = await inChunks(names, (chunk) =>
    db.selectFrom("registered_model_aliases").selectAll().where("name", "in", chunk).orderBy("alias").execute(),
  );
  const latest = await inChunks(names, (chunk) =>
    db
      .selectFrom("model_versions as v")
      .selectAll()
      .where("v.name", "in", chunk)
      .where((eb) =>
        eb.not(
          eb.exists(
            eb
              .selectFrom("model_versions as w")
              .select("w.version")
              .whereRef("w.name", "=", "v.name")
              .whereRef("w.current_stage", "=", "v.current_stage")
              .whereRef("w.version", ">", "v.version"),
          ),
        ),
      )
      .orderBy("v.version")
      .execute(),
  );
  const versions = await loadVersions(session, latest);
  return rows.map((row) => ({
    name: row.name,
    creationTime: row.creation_time,
    lastUpdateTime: row.last_updated_time,
    description: row.description,
    tags: tags.filter(({ name }) => name === row.name).map(({ key, value }) => ({ key, value })),
    aliases: aliases
      .filter(({ name }) => name === row.name)
      .map(({ alias, version }) => ({ alias, version: String(version) })),
    latestVersions: versions.filter(({ name }) => name === row.name),
  }));
}

export async function loadVersions({ db }: Session, rows: readonly VersionRow[]): Promise<ModelVersion[]> {
  const names = [...new Set(rows.map(({ name }) => name))];
  const tags = await inChunks(names, (chunk) =>
    db.selectFrom("model_version_tags").selectAll().where("name", "in", chunk).orderBy("key").execute(),
  );
  const aliases = await inChunks(names, (chunk) =>
    db.selectFrom("registered_model_aliases").selectAll().where("name", "in", chunk).orderBy("alias").execute(),
  );
  const same = (row: VersionRow) => (other: { readonly name: string; readonly version: number }) =>
    other.name === row.name && other.version === row.version;
  return rows.map((row) => ({
    name: row.name,
    version: String(row.version),
    creationTime: row.creation_time,
    lastUpdateTime: row.last_updated_time,
    description: row.description,
    stage: row.current_stage as ModelStage,
    source: row.source,
    runId: row.run_id,
    runLink: row.run_link,
    modelId: row.model_id,
    tags: tags.filter(same(row)).map(({ key, value }) => ({ key, value })),
    aliases: aliases.filter(same(row)).map(({ alias }) => alias),
  }));
}
