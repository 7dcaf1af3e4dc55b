import { PipelineError } from "../base/errors.ts";

/** What a hyperparameter can be. */
export type ParameterValue = string | number | boolean | null;

/** The hyperparameters of one trial by name; those whose condition does not hold are absent. */
export type Params = Readonly<Record<string, ParameterValue>>;

/** All numbers between two ends, both included; with "log" each factor is as likely as the next. */
export interface Range {
  readonly kind: "range";
  readonly min: number;
  readonly max: number;
  readonly scale: "linear" | "log";
  readonly integer: boolean;
}

/** A closed set without an order. */
export interface Choice<V extends ParameterValue = ParameterValue> {
  readonly kind: "choice";
  readonly values: readonly V[];
}

export type Domain = Range | Choice;

/** Holds where another parameter of the trial has one of these values. */
export interface Condition {
  readonly parameter: string;
  readonly values: readonly ParameterValue[];
}

export interface Dimension<D extends Domain = Domain> {
  readonly domain: D;
  /** The parameter exists only where this holds. */
  readonly when?: Condition;
}

type Dimensions = Readonly<Record<string, Dimension>>;

type ValueOf<D> = D extends Dimension<infer Inner> ? (Inner extends Choice<infer V> ? V : number) : never;

/** The type of a trial's parameters: conditional ones may be missing. */
export type ParamsOf<D extends Dimensions> = {
  readonly [K in keyof D as D[K] extends { readonly when: Condition } ? never : K]: ValueOf<D[K]>;
} & {
  readonly [K in keyof D as D[K] extends { readonly when: Condition } ? K : never]?: ValueOf<D[K]>;
};

/** Dimensions by name, a condition always behind the parameter that it looks at. */
export interface Space<D extends Dimensions = Dimensions> {
  readonly dimensions: D;
}

export function uniform(min: number, max: number): Dimension<Range> {
  return { domain: { kind: "range", min, max, scale: "linear", integer: false } };
}

export function logUniform(min: number, max: number): Dimension<Range> {
  return { domain: { kind: "range", min, max, scale: "log", integer: false } };
}

/** Whole numbers from min to max. */
export function integer(min: number, max: number, scale: Range["scale"] = "linear"): Dimension<Range> {
  return { domain: { kind: "range", min, max, scale, integer: true } };
}

export function choice<const V extends ParameterValue>(values: readonly V[]): Dimension<Choice<V>> {
  return { domain: { kind: "choice", values } };
}

/** The same dimension, there only where another parameter has one of the values. */
export function when<D extends Domain>(
  parameter: string,
  values: readonly ParameterValue[],
  { domain }: Dimension<D>,
): Dimension<D> & { readonly when: Condition } {
  return { domain, when: { parameter, values } };
}

/** @throws INVALID_ARGUMENT naming the first dimension that breaks a rule */
export function createSpace<const D extends Dimensions>(dimensions: D): Space<D> {
  const ordered = new Map<string, Dimension>();
  const visit = (name: string, path: readonly string[]): void => {
    if (ordered.has(name)) return;
    const dimension = dimensions[name]!;
    checkDomain(name, dimension.domain);
    if (dimension.when !== undefined) {
      const { parameter, values } = dimension.when;
      const other = dimensions[parameter];
      if (other === undefined || path.includes(parameter) || parameter === name)
        throw invalid(`${name} depends on ${parameter}, which is no other parameter`, "name a parameter of the space");
      const impossible = values.find((value) => !contains(other.domain, value));
      if (values.length === 0 || impossible !== undefined)
        throw invalid(
          `${name} depends on ${parameter} being ${impossible ?? "nothing"}, which it never is`,
          `use values that ${parameter} can have`,
        );
      visit(parameter, [...path, name]);
    }
    ordered.set(name, dimension);
  };
  for (const name of Object.keys(dimensions)) visit(name, []);
  if (ordered.size === 0) throw invalid("a search space needs a parameter", "name at least one");
  return { dimensions: Object.fromEntries(ordered) as D };
}

/** The names that exist beside the parameters chosen so far. */
export function isActive({ when: condition }: Dimension, params: Params): boolean {
  if (condition === undefined) return true;
  const value = params[condition.parameter];
  return value !== undefined && condition.values.includes(value);
}

/** Draws each parameter that exists, in order: `draw` gives its value. */
export function fillSpace(
  { dimensions }: Space,
  draw: (name: string, domain: Domain, index: number) => ParameterValue,
): Params {
  const params: Record<string, ParameterValue> = {};
  for (const [index, [name, dimension]] of Object.entries(dimensions).entries())
    if (isActive(dimension, params)) params[name] = draw(name, dimension.domain, index);
  return params;
}

export function contains(domain: Domain, value: ParameterValue): boolean {
  if (domain.kind === "choice") return domain.values.includes(value);
  const { min, max, integer: whole } = domain;
  return typeof value === "number" && value >= min && value <= max && (!whole || Number.isInteger(value));
}

function checkDomain(name: string, domain: Domain): void {
  if (domain.kind === "choice") {
    if (domain.values.length === 0) throw invalid(`${name} has no values`, "give at least one");
    if (new Set(domain.values).size < domain.values.length) throw invalid(`${name} has a value twice`, "leave one out");
    return;
  }
  const { min, max, scale, integer: whole } = domain;
  if (!(Number.isFinite(min) && Number.isFinite(max) && min <= max))
    throw invalid(`${name} goes from ${min} to ${max}`, "give two finite numbers, the smaller one first");
  if (scale === "log" && min <= 0) throw invalid(`${name} goes from ${min} on a log scale`, "start above 0");
  if (whole && !(Number.isInteger(min) && Number.isInteger(max)))
    throw invalid(`${name} is a whole number between ${min} and ${max}`, "give whole numbers as its ends");
}

function invalid(message: string, remedy: string): PipelineError {
  return new PipelineError("INVALID_ARGUMENT", message, { remedy });
}
