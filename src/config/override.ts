import { parseDocument } from "yaml";
import { configKeys } from "./keys.ts";
import type { ConfigLayer } from "./layer.ts";
import type { ConfigProblem } from "./problem.ts";
import { configSchema } from "./schema.ts";

const maxLength = 65_536;

/**
 * One `--set section.key=value`. The value is read as YAML (so JSON works too); where the key takes text, text that
 * YAML would read as something else (a number, say) stays text.
 */
export function parseOverride(argument: string): ConfigLayer | ConfigProblem {
  const split = argument.indexOf("=");
  const key = argument.slice(0, Math.max(split, 0)).trim();
  if (split < 0 || key === "" || argument.length > maxLength || key.split(".").includes(""))
    return { key, text: `--set ${argument.slice(0, 80)}: write it as section.key=value` };
  const raw = argument.slice(split + 1);
  const path = key.split(".");
  const value = parseValue(raw, path);
  if (value instanceof Error)
    return { key, text: `--set ${argument.slice(0, 80)}: the value is no YAML: ${value.message}` };
  return { tree: nest(path, value), source: () => ({ kind: "override", argument }) };
}

function parseValue(raw: string, path: readonly string[]): unknown {
  const isKey = configKeys.some(({ key }) => key === path.join("."));
  const asText = isKey && accepts(path, raw);
  const document = parseDocument(raw, { prettyErrors: false });
  const [fault] = [...document.errors, ...document.warnings];
  if (fault !== undefined) return asText ? raw : fault;
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 0 });
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
  return asText && !accepts(path, value) ? raw : value;
}

function accepts(path: readonly string[], value: unknown): boolean {
  const result = configSchema.safeParse(nest(path, value));
  return (
    result.success ||
    !result.error.issues.some((issue) =>
      path.every((name, depth) => issue.path[depth] === name && issue.code !== "custom"),
    )
  );
}

function nest(path: readonly string[], value: unknown): Readonly<Record<string, unknown>> {
  return path.reduceRight<unknown>((inner, name) => Object.fromEntries([[name, inner]]), value) as Readonly<
    Record<string, unknown>
  >;
}
