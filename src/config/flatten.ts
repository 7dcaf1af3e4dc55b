import { stringify } from "yaml";
import { configKeys } from "./keys.ts";
import type { Config } from "./schema.ts";

/** The configuration as dotted keys with text values, in the order of the schema; lists and mappings become JSON. */
export function flattenConfig(config: Config): Readonly<Record<string, string>> {
  return Object.fromEntries(
    configKeys.map(({ key }) => {
      const value = valueAtKey(config, key);
      return [key, typeof value === "string" ? value : JSON.stringify(value)];
    }),
  );
}

/** The whole configuration as YAML; loading it again gives the same configuration. */
export function configToYaml(config: Config): string {
  return stringify(config, { aliasDuplicateObjects: false, lineWidth: 0 });
}

/** The value at a dotted key, or undefined where the tree has none. */
export function valueAtKey(tree: unknown, key: string): unknown {
  return key.split(".").reduce<unknown>((node, name) => (isPlainObject(node) ? ownValue(node, name) : undefined), tree);
}

export function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function ownValue(node: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.hasOwn(node, name) ? node[name] : undefined;
}
