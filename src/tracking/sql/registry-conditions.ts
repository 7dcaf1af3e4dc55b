import { type RawBuilder, type SqlBool, sql } from "kysely";
import { type Grammar, parseFilter } from "../search/grammar.ts";
import { compare, hasKey } from "./conditions.ts";
import type { Session } from "./session.ts";

/** A prompt is a registered model with this tag; searches give models unless they ask for prompts. */
const promptTag = "mlflow.prompt.is_prompt";

interface ConditionSource {
  readonly filter: string | undefined;
  readonly grammar: Grammar;
  readonly columns: Readonly<Record<string, string>>;
  readonly table: "registered_models" | "model_versions";
}

/** Filters of the registry, in which prompts are no models unless they are asked for. */
export function conditionsOf(
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
