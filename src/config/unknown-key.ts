import { configKeys, configSections } from "./keys.ts";
import { type ConfigLayer, describeSource, sourceOf } from "./layer.ts";
import type { ConfigProblem } from "./problem.ts";
import { suggestKey } from "./suggest.ts";

/** A key that the schema does not have is refused, with its place and the one that was probably meant. */
export function unknownKey(path: readonly string[], layers: readonly ConfigLayer[]): ConfigProblem {
  const key = path.join(".");
  const place = describeSource(sourceOf(layers, path));
  const known = [...configKeys.map((entry) => entry.key), ...configSections.map(({ name }) => name)];
  const meant = suggestKey(key, known);
  const nested = path.some((name) => name.includes(".")) && known.includes(key);
  const hint = nested ? `; ${nestingHint(key)}` : meant === undefined ? "" : `; did you mean ${meant}?`;
  const base = { key, text: `unknown key ${key}${hint}${place === undefined ? "" : ` (${place})`}` };
  return place === undefined ? base : { ...base, place };
}

/** A dotted key is one name to YAML. */
function nestingHint(key: string): string {
  const parts = key.split(".");
  const sections = parts.slice(0, -1).map((name) => `\`${name}:\``);
  return `write ${sections.join(" and below it ")} and, indented below, \`${parts.at(-1)}: …\``;
}
