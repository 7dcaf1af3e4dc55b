import { z } from "zod";
import { configSchema } from "./schema.ts";

/** What the schema says about one key. */
export interface ConfigKey {
  /** Dotted path, such as "training.batch_size". */
  readonly key: string;
  readonly section: string;
  /** What a value must be, in words: "a whole number >= 1". */
  readonly expected: string;
  /** As it would be written in the file; null can stand for a value derived from other keys. */
  readonly defaultValue: unknown;
  readonly description: string;
  /** The words that the value must be one of, where it is a closed set. */
  readonly choices: readonly string[];
}

export interface ConfigSection {
  readonly name: string;
  readonly description: string;
}

type JsonSchema = z.core.JSONSchema.JSONSchema;

const root: JsonSchema = z.toJSONSchema(configSchema, { io: "input" });

/** Every section, nested ones such as "model.airbench" included, in the order of the schema. */
export const configSections: readonly ConfigSection[] = collectSections(root, []);

/** Every key that can be set, in the order of the schema. */
export const configKeys: readonly ConfigKey[] = collectKeys(root, []);

/** The key at a dotted path, or the one that holds it (a path can point inside a value). */
export function findConfigKey(path: readonly PropertyKey[]): ConfigKey | undefined {
  const dotted = path.map(String).join(".");
  return configKeys.find(({ key }) => dotted === key || dotted.startsWith(`${key}.`));
}

function isSection(schema: JsonSchema): boolean {
  return schema.type === "object" && schema.properties !== undefined;
}

function children(schema: JsonSchema): [string, JsonSchema][] {
  return Object.entries(schema.properties ?? {}).filter((entry): entry is [string, JsonSchema] => {
    return typeof entry[1] === "object";
  });
}

function collectSections(schema: JsonSchema, path: readonly string[]): ConfigSection[] {
  return children(schema).flatMap(([name, child]) => {
    if (!isSection(child)) return [];
    const here = [...path, name];
    return [{ name: here.join("."), description: child.description ?? "" }, ...collectSections(child, here)];
  });
}

function collectKeys(schema: JsonSchema, path: readonly string[]): ConfigKey[] {
  return children(schema).flatMap(([name, child]) => {
    const here = [...path, name];
    if (isSection(child)) return collectKeys(child, here);
    return [
      {
        key: here.join("."),
        section: path.join("."),
        expected: expectedValue(child),
        defaultValue: child.default,
        description: child.description ?? "",
        choices: choicesOf(child),
      },
    ];
  });
}

function choicesOf(schema: JsonSchema): string[] {
  if (schema.enum !== undefined) return schema.enum.map(String);
  if (typeof schema.const === "string") return [schema.const];
  return (schema.anyOf ?? []).flatMap((option) => (typeof option === "object" ? choicesOf(option) : []));
}

/** A JSON Schema in words. */
function expectedValue(schema: JsonSchema): string {
  if (schema.anyOf !== undefined) return schema.anyOf.map((option) => expectedValue(option as JsonSchema)).join(" or ");
  if (schema.enum !== undefined) return `one of ${schema.enum.map(String).join(", ")}`;
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  switch (schema.type) {
    case "boolean":
      return "true or false";
    case "null":
      return "null";
    case "string":
      return "text";
    case "integer":
      return `a whole number${bounds(schema)}`;
    case "number":
      return `a number${bounds(schema)}`;
    case "array":
      return schema.prefixItems === undefined ? "a list" : `a list of ${schema.prefixItems.length} numbers`;
    default:
      return "a mapping";
  }
}

function bounds(schema: JsonSchema): string {
  const parts: string[] = [];
  const { minimum, exclusiveMinimum, maximum, exclusiveMaximum } = schema;
  if (minimum !== undefined && minimum !== Number.MIN_SAFE_INTEGER) parts.push(`>= ${minimum}`);
  if (exclusiveMinimum !== undefined) parts.push(`> ${exclusiveMinimum}`);
  if (maximum !== undefined && maximum !== Number.MAX_SAFE_INTEGER) parts.push(`<= ${maximum}`);
  if (exclusiveMaximum !== undefined) parts.push(`< ${exclusiveMaximum}`);
  return parts.length === 0 ? "" : ` ${parts.join(" and ")}`;
}
