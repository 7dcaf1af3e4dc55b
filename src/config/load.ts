import type { z } from "zod";
import { findConfigKey } from "./keys.ts";
import { type ConfigLayer, type ConfigSource, describeSource, mergeLayers, sourceOf, sourcesOfKeys } from "./layer.ts";
import { parseOverride } from "./override.ts";
import { presetNames, presets } from "./presets.ts";
import { type ConfigProblem, invalidConfig, quoteValue } from "./problem.ts";
import { type Config, configSchema } from "./schema.ts";
import { suggestWord } from "./suggest.ts";
import { checkSupported } from "./supported.ts";
import { unknownKey } from "./unknown-key.ts";
import { readYamlLayer } from "./yaml-file.ts";

export interface LoadConfigOptions {
  /** Path of a YAML file. Without it only defaults, preset and overrides count. */
  readonly file?: string;
  /** `section.key=value`, in the order of the command line; the last one wins. */
  readonly overrides?: readonly string[];
  /** The environment; of it CIFAR_SOURCE and MLFLOW_EXPERIMENT_NAME are read. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** A name of `presets`. */
  readonly preset?: string;
}

export interface LoadedConfig {
  /** Whole, valid and frozen. */
  readonly config: Config;
  /** The same as a plain copy, to be saved with the run. */
  readonly resolved: Record<string, unknown>;
  /** For each dotted key, where its value came from. */
  readonly sources: Readonly<Record<string, ConfigSource>>;
}

/** The defaults of two keys, below whatever is given elsewhere. */
const variables: Readonly<Record<string, (value: string) => ConfigLayer["tree"]>> = {
  CIFAR_SOURCE: (source) => ({ dataset: { source } }),
  MLFLOW_EXPERIMENT_NAME: (name) => ({ mlflow: { experiment_name: name } }),
};

/**
 * Builds the configuration from defaults, environment, file, preset and overrides; each wins over those before it.
 * @throws CONFIG_UNREADABLE for a missing or malformed file
 * @throws CONFIG_INVALID listing every unknown key and bad value with its place
 * @throws CONFIG_UNSUPPORTED when a feature is switched on that this version does not have
 */
export function loadConfig({ file, overrides = [], env, preset }: LoadConfigOptions): LoadedConfig {
  const problems: ConfigProblem[] = [];
  const layers: ConfigLayer[] = [];
  for (const [variable, tree] of Object.entries(variables)) {
    const value = env[variable];
    if (value !== undefined && value !== "")
      layers.push({ tree: tree(value), source: () => ({ kind: "env", variable }) });
  }
  if (file !== undefined) layers.push(readYamlLayer(file));
  if (preset !== undefined) {
    const layer = presetLayer(preset);
    if ("tree" in layer) layers.push(layer);
    else problems.push(layer);
  }
  for (const argument of overrides) {
    const layer = parseOverride(argument);
    if ("tree" in layer) layers.push(layer);
    else problems.push(layer);
  }

  const merged = mergeLayers(layers);
  const result = configSchema.safeParse(merged);
  if (!result.success) problems.push(...result.error.issues.flatMap((issue) => describeIssue(issue, merged, layers)));
  if (!result.success || problems.length > 0) throw invalidConfig(problems);

  const config: Config = deepFreeze(result.data);
  checkSupported(config, (key) => describeSource(sourceOf(layers, key.split("."))));
  return { config, resolved: structuredClone(result.data), sources: sourcesOfKeys(layers) };
}

function presetLayer(preset: string): ConfigLayer | ConfigProblem {
  const name = presetNames.find((known) => known === preset);
  if (name === undefined) {
    const meant = suggestWord(preset, presetNames);
    const hint = meant === undefined ? `known presets: ${presetNames.join(", ")}` : `did you mean ${meant}?`;
    return { key: "", value: preset, text: `there is no preset ${quoteValue(preset)}; ${hint}` };
  }
  return { tree: presets[name], source: () => ({ kind: "preset", preset: name }) };
}

function describeIssue(issue: z.core.$ZodIssue, merged: unknown, layers: readonly ConfigLayer[]): ConfigProblem[] {
  if (issue.code === "unrecognized_keys" && findConfigKey(issue.path) === undefined)
    return issue.keys.map((name) => unknownKey([...issue.path.map(String), name], layers));
  const path = issue.path.map(String);
  const key = path.join(".");
  const place = describeSource(sourceOf(layers, path));
  const where = place === undefined ? "" : ` (${place})`;
  const known = findConfigKey(path);
  const given = valueAtPath(merged, path);
  const value = issue.code === "custom" ? (given ?? known?.defaultValue) : given;
  const text = problemText({ issue, key, value, known });
  const base = { key, value, text: `${text}${where}` };
  return [place === undefined ? base : { ...base, place }];
}

interface IssueContext {
  readonly issue: z.core.$ZodIssue;
  readonly key: string;
  readonly value: unknown;
  readonly known: ReturnType<typeof findConfigKey>;
}

function problemText({ issue, key, value, known }: IssueContext): string {
  if (issue.code === "custom") return `${key} is ${quoteValue(value)} but ${issue.message}`;
  if (known === undefined) return `${key} is ${quoteValue(value)} but must be a section with keys of its own`;
  if (known.key !== key) return `${key} is ${quoteValue(value)}: ${issue.message}; ${known.key}: ${known.description}`;
  if (value === null) return `${key} has no value but must be ${known.expected}; give one, or leave the key out`;
  const meant = typeof value === "string" ? suggestWord(value, known.choices) : undefined;
  const hint = meant === undefined ? "" : `; did you mean ${meant}?`;
  return `${key} is ${quoteValue(value)} but must be ${known.expected}${hint}`;
}

function valueAtPath(tree: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((node, name) => {
    if (typeof node !== "object" || node === null || !Object.hasOwn(node, name)) return undefined;
    return (node as Readonly<Record<string, unknown>>)[name];
  }, tree);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null) {
    for (const inner of Object.values(value)) deepFreeze(inner);
    Object.freeze(value);
  }
  return value;
}
