import { type RawBuilder, type SqlBool, sql } from "kysely";
import type { Page } from "../page.ts";
import { type Condition, checkSearchCount, parseFilter, parseOrder } from "../search/grammar.ts";
import { loggedModelGrammar } from "../search/grammars.ts";
import { decodePageToken } from "../search/page-token.ts";
import type { DatasetFilter, LifecycleView, LoggedModelInit, LoggedModelOrder, LoggedModelSearch } from "../store.ts";
import {
  type LoggedModel,
  type LoggedModelStatus,
  loggedModelStatuses,
  type Metric,
  type Param,
  type Tag,
  trackingLimits,
} from "../types.ts";
import { checkLength, checkParam, checkTag, invalid, missing } from "../validation.ts";
import { compare, hasKey } from "./conditions.ts";
import type { Dialect } from "./dialect.ts";
import { getActiveExperiment } from "./experiments.ts";
import { inChunks } from "./rows.ts";
import type { TrackingDatabase } from "./schema.ts";
import { checkMaxResults, nextToken, toExperimentIds } from "./search-runs.ts";
import type { Session, WriteSession } from "./session.ts";

const maxModels = 1000;

export async function createLoggedModel(
  session: WriteSession,
  experimentId: string,
  init: LoggedModelInit,
): Promise<LoggedModel> {
  const { db, now, newId } = session;
  const { artifactLocation } = await getActiveExperiment(session, experimentId);
  const modelId = `m-${newId()}`;
  const name = init.name ?? `model-${modelId.slice(2, 10)}`;
  checkLength("model name", name, 500);
  if (name === "" || /[/:.%"']/.test(name))
    throw invalid(`Invalid model name '${name}'`, "it cannot be empty or contain / : . % \" or '");
  const time = now();
  await db
    .insertInto("logged_models")
    .values({
      model_id: modelId,
      experiment_id: Number(experimentId),
      name,
      artifact_location: `${artifactLocation.replace(/\/+$/, "")}/models/${modelId}/artifacts`,
      creation_timestamp_ms: time,
      last_updated_timestamp_ms: time,
      status: "LOGGED_MODEL_PENDING",
      model_type: init.modelType ?? "",
      source_run_id: init.sourceRunId ?? "",
      lifecycle_stage: "active",
    })
    .execute();
  await writeKeys(session, { modelId, table: "logged_model_params", entries: init.params ?? [] });
  await writeKeys(session, { modelId, table: "logged_model_tags", entries: init.tags ?? [] });
  return getLoggedModel(session, modelId, "active");
}

export async function getLoggedModel({ db }: Session, modelId: string, view: LifecycleView): Promise<LoggedModel> {
  const rows = await db.selectFrom("logged_models").selectAll().where("model_id", "=", modelId).execute();
  const [model] = await loadLoggedModels(
    db,
    rows.filter((row) => view === "all" || row.lifecycle_stage === view),
  );
  if (model === undefined) throw missing(`Logged model with ID '${modelId}' not found.`, { modelId });
  return model;
}

export async function finalizeLoggedModel(
  session: WriteSession,
  modelId: string,
  status: LoggedModelStatus,
): Promise<LoggedModel> {
  if (!loggedModelStatuses.includes(status))
    throw invalid(`model status ${status}`, `use one of ${loggedModelStatuses.join(", ")}`);
  await getLoggedModel(session, modelId, "all");
  await session.db
    .updateTable("logged_models")
    .set({ status, last_updated_timestamp_ms: session.now() })
    .where("model_id", "=", modelId)
    .execute();
  return getLoggedModel(session, modelId, "all");
}

export async function deleteLoggedModel(session: WriteSession, modelId: string): Promise<void> {
  await getLoggedModel(session, modelId, "all");
  await session.db
    .updateTable("logged_models")
    .set({ lifecycle_stage: "deleted", last_updated_timestamp_ms: session.now() })
    .where("model_id", "=", modelId)
    .execute();
}

export async function setLoggedModelTags(session: WriteSession, modelId: string, tags: readonly Tag[]): Promise<void> {
  await getLoggedModel(session, modelId, "all");
  await writeKeys(session, { modelId, table: "logged_model_tags", entries: tags });
}

export async function deleteLoggedModelTag(session: WriteSession, modelId: string, key: string): Promise<void> {
  await getLoggedModel(session, modelId, "all");
  const deleted = await session.db
    .deleteFrom("logged_model_tags")
    .where("model_id", "=", modelId)
    .where("key", "=", key)
    .returning("key")
    .execute();
  if (deleted.length === 0) throw missing(`No tag with key '${key}' found for model with ID '${modelId}'.`, { key });
}

export async function logLoggedModelParams(
  session: WriteSession,
  modelId: string,
  params: readonly Param[],
): Promise<void> {
  const { params: written } = await getLoggedModel(session, modelId, "all");
  const before = new Map(written.map(({ key, value }) => [key, value]));
  // Written once, as those of runs are.
  for (const { key, value } of params) {
    if ((before.get(key) ?? value) !== value)
      throw invalid(`parameter ${key} of the model has the value ${before.get(key)}, not ${value}`, "log a new model", {
        key,
      });
    before.set(key, value);
  }
  await writeKeys(session, { modelId, table: "logged_model_params", entries: params });
}

interface KeyWrite {
  readonly modelId: string;
  readonly table: "logged_model_params" | "logged_model_tags";
  readonly entries: readonly Tag[];
}

async function writeKeys({ db }: WriteSession, { modelId, table, entries }: KeyWrite): Promise<void> {
  if (entries.length === 0) return;
  entries.forEach(table === "logged_model_params" ? checkParam : checkTag);
  const last = new Map(entries.map(({ key, value }) => [key, value]));
  await db
    .insertInto(table)
    .values([...last].map(([key, value]) => ({ model_id: modelId, key, value })))
    .onConflict((conflict) =>
      conflict.columns(["model_id", "key"]).doUpdateSet((eb) => ({ value: eb.ref("excluded.value") })),
    )
    .execute();
}

export async function searchLoggedModels(
  { db, dialect }: Session,
  search: LoggedModelSearch,
): Promise<Page<LoggedModel>> {
  const { experimentIds, filter, datasets = [], orderBy = [], maxResults = 50, pageToken } = search;
  checkMaxResults(maxResults, maxModels);
  const offset = decodePageToken(pageToken);
  checkSearchCount("fields to order by", orderBy.length, trackingLimits.searchOrders);
  checkSearchCount("data sets", datasets.length, trackingLimits.searchOrders);
  const ids = toExperimentIds(experimentIds);
  if (ids.length === 0) return { items: [], nextPageToken: undefined };
  let query = db
    .selectFrom("logged_models")
    .selectAll()
    .where("experiment_id", "in", ids)
    .where("lifecycle_stage", "=", "active");
  const conditions = parseFilter(filter, loggedModelGrammar);
  for (const condition of conditions) query = query.where(matches(condition, { dialect, datasets }));
  if (datasets.length > 0 && !conditions.some(({ entity }) => entity === "metric"))
    query = query.where(
      sql<SqlBool>`EXISTS (SELECT 1 FROM logged_model_metrics WHERE ${tieTo("logged_model_metrics")} AND ${onDatasets(datasets)})`,
    );
  for (const order of orderBy) for (const term of orderTerms(order)) query = query.orderBy(term);
  const rows = await query
    .orderBy("creation_timestamp_ms", "desc")
    .orderBy("model_id")
    .limit(maxResults + 1)
    .offset(offset)
    .execute();
  const items = await loadLoggedModels(db, rows.slice(0, maxResults));
  return { items, nextPageToken: nextToken(rows.length, offset, maxResults) };
}

function matches(
  condition: Condition,
  { dialect, datasets }: { readonly dialect: Dialect; readonly datasets: readonly DatasetFilter[] },
): RawBuilder<SqlBool> {
  const { entity, key } = condition;
  switch (entity) {
    case "attribute":
      return compare(sql.ref(`logged_models.${key}`), condition, dialect);
    case "param":
    case "tag": {
      const table = entity === "param" ? "logged_model_params" : "logged_model_tags";
      return hasKey({ table, value: "value", tie: tieTo(table) }, condition, dialect);
    }
    case "metric":
      return sql<SqlBool>`EXISTS (SELECT 1 FROM logged_model_metrics WHERE ${tieTo("logged_model_metrics")}
        AND key = ${key} AND ${compare(sql.ref("logged_model_metrics.value"), condition, dialect)}
        AND ${datasets.length === 0 ? sql`1 = 1` : onDatasets(datasets)})`;
    case "dataset":
      throw invalid("models cannot be filtered by dataset here", "use the datasets clause");
    default:
      return entity satisfies never;
  }
}

function tieTo(table: string): RawBuilder<unknown> {
  return sql`${sql.ref(`${table}.model_id`)} = logged_models.model_id`;
}

function onDatasets(datasets: readonly DatasetFilter[]): RawBuilder<unknown> {
  const each = datasets.map(({ name, digest }) =>
    digest === undefined
      ? sql`logged_model_metrics.dataset_name = ${name}`
      : sql`(logged_model_metrics.dataset_name = ${name} AND logged_model_metrics.dataset_digest = ${digest})`,
  );
  return sql`(${sql.join(each, sql` OR `)})`;
}

function orderTerms({ field, direction, dataset }: LoggedModelOrder): RawBuilder<unknown>[] {
  const way = sql.raw(direction === "ascending" ? "ASC" : "DESC");
  const metric = /^metrics?\.(.+)$/.exec(field)?.[1];
  if (metric === undefined) {
    const [order] = parseOrder([field], loggedModelGrammar);
    if (order?.entity !== "attribute")
      throw invalid(`Invalid order by field name: ${field}. Only metrics are supported.`, "order by metrics.KEY");
    const column = sql.ref(`logged_models.${order.key}`);
    return [sql`${column} IS NULL`, sql`${column} ${way}`];
  }
  const value = sql`(SELECT m.value FROM logged_model_metrics m
    WHERE m.model_id = logged_models.model_id AND m.key = ${metric.replaceAll(/^`|`$/g, "")}
      ${dataset === undefined ? sql`` : sql`AND m.dataset_name = ${dataset.name}`}
      ${dataset?.digest === undefined ? sql`` : sql`AND m.dataset_digest = ${dataset.digest}`}
    ORDER BY m.timestamp DESC, m.step DESC, m.run_id LIMIT 1)`;
  return [sql`${value} IS NULL`, sql`${value} ${way}`];
}

async function loadLoggedModels(
  db: Session["db"],
  rows: readonly TrackingDatabase["logged_models"][],
): Promise<LoggedModel[]> {
  const ids = rows.map(({ model_id }) => model_id);
  const params = await inChunks(ids, (chunk) =>
    db.selectFrom("logged_model_params").selectAll().where("model_id", "in", chunk).orderBy("key").execute(),
  );
  const tags = await inChunks(ids, (chunk) =>
    db.selectFrom("logged_model_tags").selectAll().where("model_id", "in", chunk).orderBy("key").execute(),
  );
  const metrics = await inChunks(ids, (chunk) =>
    db.selectFrom("logged_model_metrics").selectAll().where("model_id", "in", chunk).orderBy("key").execute(),
  );
  const of = <T extends { readonly model_id: string }>(all: readonly T[], id: string) =>
    all.filter(({ model_id }) => model_id === id);
  return rows.map((row) => ({
    modelId: row.model_id,
    experimentId: String(row.experiment_id),
    name: row.name,
    creationTime: row.creation_timestamp_ms,
    lastUpdateTime: row.last_updated_timestamp_ms,
    artifactUri: row.artifact_location,
    status: row.status as LoggedModelStatus,
    modelType: row.model_type,
    sourceRunId: row.source_run_id,
    lifecycleStage: row.lifecycle_stage,
    params: of(params, row.model_id).map(({ key, value }) => ({ key, value })),
    tags: of(tags, row.model_id).map(({ key, value }) => ({ key, value })),
    metrics: of(metrics, row.model_id).map(
      ({ key, value, timestamp, step, run_id, dataset_name, dataset_digest }): Metric => ({
        ...{ key, value, timestamp, step, runId: run_id, modelId: row.model_id },
        ...(dataset_name === "" ? {} : { datasetName: dataset_name, datasetDigest: dataset_digest }),
      }),
    ),
  }));
}
