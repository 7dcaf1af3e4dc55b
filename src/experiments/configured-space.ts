import { PipelineError } from "../base/errors.ts";
import { type ConfigKey, configKeys } from "../config/keys.ts";
import { formatOverride } from "../config/override.ts";
import type { Config } from "../config/schema.ts";
import { suggestKey } from "../config/suggest.ts";
import { createSpace, type Dimension, type Params, type Space } from "../tuning/space.ts";

/** A short name is looked up in these sections, in this order. */
const searched = ["training", "model", "augmentation", "dataset"];

/** What a trial may not change: where it runs and what it is measured by. */
const fixed =
  /^(ray_tune|mlflow|serving|distributed)\.|^training\.(checkpoint_dir|threads|device)$|^dataset\.(source|data_dir|name|validation_fraction|limit)$/;

type Parameter = Config["ray_tune"]["parameters"][string];

/** Ranges of at least this factor are searched on a log scale. */
const logFactor = 10;

/**
 * The search space of a configuration; its dimensions are named by whole keys, such as "training.learning_rate".
 * @throws CONFIG_INVALID
 */
export function configuredSpace({ ray_tune: { parameters } }: Config): Space {
  const dimensions: Record<string, Dimension> = {};
  for (const [name, parameter] of Object.entries(parameters)) {
    const key = keyOf(name);
    if (dimensions[key.key] !== undefined) throw invalid(name, "is there twice", "leave one of the two out");
    dimensions[key.key] = dimensionOf(name, key, parameter);
  }
  try {
    return createSpace(dimensions);
  } catch (error) {
    if (!(error instanceof PipelineError)) throw error;
    throw new PipelineError("CONFIG_INVALID", `ray_tune.parameters: ${error.message}`, { cause: error });
  }
}

/** A trial's parameters as `--set` takes them. */
export function overridesOf(params: Params): readonly string[] {
  return Object.entries(params).map(([key, value]) => formatOverride(key, value));
}

function dimensionOf(name: string, { expected, key }: ConfigKey, parameter: Parameter): Dimension {
  const condition = conditionOf(name, parameter.when);
  if ("values" in parameter) return { domain: { kind: "choice", values: parameter.values }, ...condition };
  const { min, max, scale } = parameter;
  if (!/number/.test(expected)) throw invalid(name, `has {min, max}, but ${key} is ${expected}`, "give values instead");
  const integer = expected.startsWith("a whole number");
  const wide = min > 0 && max >= logFactor * min;
  return { domain: { kind: "range", min, max, scale: scale ?? (wide ? "log" : "linear"), integer }, ...condition };
}

function conditionOf(name: string, condition: Parameter["when"]): Pick<Dimension, "when"> {
  if (condition === undefined) return {};
  const [entry, ...more] = Object.entries(condition);
  if (entry === undefined || more.length > 0) throw invalid(name, "needs one parameter in `when`", "name just one");
  const [other, values] = entry;
  return {
    when: { parameter: keyOf(other).key, values: Array.isArray(values) ? values : [values] } as Dimension["when"] &
      object,
  };
}

function keyOf(name: string): ConfigKey {
  const found = name.includes(".")
    ? configKeys.find(({ key }) => key === name)
    : searched.flatMap((section) => configKeys.filter(({ key }) => key === `${section}.${name}`))[0];
  if (found === undefined) {
    const names = configKeys.map(({ key }) => key);
    const meant = suggestKey(name, names) ?? suggestKey(`training.${name}`, names);
    throw invalid(
      name,
      "is no key of the configuration",
      meant === undefined ? "see docs/configuration.md" : `did you mean ${meant}?`,
    );
  }
  if (fixed.test(found.key))
    throw invalid(name, `(${found.key}) must be the same in all trials`, "set it for the whole sweep");
  return found;
}

function invalid(name: string, what: string, remedy: string): PipelineError {
  return new PipelineError("CONFIG_INVALID", `ray_tune.parameters: ${name} ${what}`, {
    remedy,
    details: { parameter: name },
  });
}
