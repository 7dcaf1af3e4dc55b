import { parseDocument } from "yaml";
import { type ConfigKey, configKeys } from "./keys.ts";
import type { ConfigLayer } from "./layer.ts";
import type { ConfigProblem } from "./problem.ts";
import { describeYamlFault } from "./yaml-fault.ts";

const maxLength = 65_536;

/**
 * One `--set section.key=value`. Where the key takes text, the value stays as it is, every sign of it; elsewhere it is
 * read as YAML (so JSON works too).
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

/** `key=value` that parseOverride reads as that very value. */
export function formatOverride(key: string, value: unknown): string {
  return `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`;
}

function parseValue(raw: string, path: readonly string[]): unknown {
  const key = configKeys.find(({ key }) => key === path.join("."));
  if (key !== undefined && isText(key, raw)) return raw;
  const document = parseDocument(raw, { prettyErrors: false });
  const [fault] = [...document.errors, ...document.warnings];
  if (fault !== undefined) return new Error(describeYamlFault(fault));
  try {
    return document.toJS({ maxAliasCount: 0 });
  } catch {
    return new Error("it uses an alias (*name)");
  }
}

/** null stays null where the key takes it. */
function isText({ expected }: ConfigKey, raw: string): boolean {
  return expected === "text" || (expected === "text or null" && raw.trim() !== "null");
}

function nest(path: readonly string[], value: unknown): Readonly<Record<string, unknown>> {
  return path.reduceRight<unknown>((inner, name) => Object.fromEntries([[name, inner]]), value) as Readonly<
    Record<string, unknown>
  >;
}
