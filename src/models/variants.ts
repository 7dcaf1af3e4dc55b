import type { Model, ModelFactory, ModelOptions } from "./model.ts";
import { PUBLISHED_SIZE } from "./stem.ts";

/** The registry's rows of a family: one for each of its published variants, by name. */
export function variantFactories<Name extends string, Options extends ModelOptions>(
  family: string,
  names: readonly Name[],
  build: (name: Name, options: Options) => Model,
  sizeOf: (name: Name) => number = () => PUBLISHED_SIZE,
): Readonly<Record<Name, ModelFactory<Options>>> {
  const row = (name: Name): ModelFactory<Options> => ({
    name,
    family,
    inputSize: sizeOf(name),
    build: (options) => build(name, { height: sizeOf(name), width: sizeOf(name), ...options }),
  });
  return Object.fromEntries(names.map((name) => [name, row(name)])) as Record<Name, ModelFactory<Options>>;
}

/** The keys of a table of variants. */
export function variantNames<Name extends string>(variants: Readonly<Record<Name, unknown>>): readonly Name[] {
  return Object.keys(variants) as Name[];
}
