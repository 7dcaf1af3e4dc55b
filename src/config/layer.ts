import { isPlainObject, valueAtKey } from "./flatten.ts";
import { configKeys } from "./keys.ts";

/** Where the value of a key came from. */
export type ConfigSource =
  | { readonly kind: "default" }
  | { readonly kind: "env"; readonly variable: string }
  | { readonly kind: "file"; readonly file: string; readonly line: number | undefined }
  | { readonly kind: "preset"; readonly preset: string }
  | { readonly kind: "override"; readonly argument: string };

type Tree = Readonly<Record<string, unknown>>;

/** Part of a configuration, not yet validated, that knows where it was given. */
export interface ConfigLayer {
  readonly tree: Tree;
  readonly source: (path: readonly string[]) => ConfigSource;
}

/** null at these keys stands for "not given here". */
const inheritsOnNull: ReadonlySet<string> = new Set(["dataset.source", "mlflow.experiment_name"]);

/** Later layers win; mappings merge key by key, an empty section (null) changes nothing. */
export function mergeLayers(layers: readonly ConfigLayer[]): Tree {
  return layers.reduce<Tree>((merged, { tree }) => mergeTrees(merged, tree, []), {});
}

function mergeTrees(base: Tree, top: Tree, path: readonly string[]): Tree {
  // Entries, not assignment: a key such as "__proto__" must stay an ordinary, unknown key.
  const merged = new Map<string, unknown>(Object.entries(base));
  for (const [name, value] of Object.entries(top)) {
    const here = [...path, name];
    const below = merged.get(name);
    if (isPlainObject(value) && !isValueKey(here))
      merged.set(name, mergeTrees(isPlainObject(below) ? below : {}, value, here));
    else if (value !== null || !(inheritsOnNull.has(here.join(".")) || isSectionPath(here))) merged.set(name, value);
  }
  return Object.fromEntries(merged);
}

function isValueKey(path: readonly string[]): boolean {
  const dotted = path.join(".");
  return configKeys.some(({ key }) => key === dotted);
}

function isSectionPath(path: readonly string[]): boolean {
  const prefix = `${path.join(".")}.`;
  return configKeys.some(({ key }) => key.startsWith(prefix));
}

/** The last layer that gives a value at `path` or at a part of it. */
export function sourceOf(layers: readonly ConfigLayer[], path: readonly string[]): ConfigSource {
  for (const layer of [...layers].reverse()) if (givesPath(layer.tree, path)) return layer.source(path);
  return { kind: "default" };
}

function givesPath(tree: Tree, path: readonly string[]): boolean {
  let node: unknown = tree;
  for (const [depth, name] of path.entries()) {
    if (!isPlainObject(node)) return depth > 0 && node !== null;
    if (!Object.hasOwn(node, name)) return false;
    node = node[name];
  }
  return !(node === null && (inheritsOnNull.has(path.join(".")) || isSectionPath(path)));
}

/** The origin of every key of the schema. */
export function sourcesOfKeys(layers: readonly ConfigLayer[]): Readonly<Record<string, ConfigSource>> {
  return Object.fromEntries(
    configKeys.map(({ key }) => {
      const path = key.split(".");
      const layer = [...layers].reverse().find(({ tree }) => {
        const value = valueAtKey(tree, key);
        return value !== undefined && !(value === null && inheritsOnNull.has(key));
      });
      return [key, layer === undefined ? { kind: "default" } : layer.source(path)];
    }),
  );
}

/** A source in words, as messages name it; undefined for a default. */
export function describeSource(source: ConfigSource): string | undefined {
  switch (source.kind) {
    case "default":
      return undefined;
    case "env":
      return `environment variable ${source.variable}`;
    case "file":
      return source.line === undefined ? source.file : `${source.file}:${source.line}`;
    case "preset":
      return `preset ${source.preset}`;
    case "override":
      return `--set ${source.argument}`;
    default:
      return source satisfies never;
  }
}
