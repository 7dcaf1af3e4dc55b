import { type ArchitectureName, architectures } from "./catalogue.ts";
import type { Model, ModelFactory, ModelOptions } from "./model.ts";

/** The registry's row of an architecture: what the catalogue says of it, and how it is built. */
export function factory<Options extends ModelOptions>(
  name: ArchitectureName,
  build: (options: Options) => Model,
): ModelFactory<Options> {
  const { family, inputSize } = architectures[name];
  return {
    name,
    family,
    inputSize,
    build: (options) => build({ height: inputSize, width: inputSize, ...options }),
  };
}

/** The rows of a family: one for each of the variants in its table. */
export function variantFactories<Name extends ArchitectureName, Options extends ModelOptions>(
  variants: Readonly<Record<Name, unknown>>,
  build: (name: Name, options: Options) => Model,
): Readonly<Record<Name, ModelFactory<Options>>> {
  const names = Object.keys(variants) as Name[];
  const rows = names.map((name) => [name, factory<Options>(name, (options) => build(name, options))] as const);
  return Object.fromEntries(rows) as Record<Name, ModelFactory<Options>>;
}
