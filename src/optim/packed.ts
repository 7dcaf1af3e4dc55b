import { concat, slice } from "../graph/build.ts";
import type { Value } from "../graph/value.ts";
import type { Named } from "../tensor/tensor.ts";

/** Vectors joined end to end, so that what is done to each of their elements is one operation for all of them. */
export interface Packing {
  /** The vectors of these names as one. */
  join(values: Named<Value | undefined>): Value;
  /** The parts of a joined vector by name. */
  split(joined: Value): Record<string, Value>;
}

/** Packs the vectors (rank 1) among some values; undefined for fewer than two, where nothing is won. */
export function packVectors(
  names: readonly string[],
  values: Named<Value | undefined>,
): (Packing & { readonly names: ReadonlySet<string> }) | undefined {
  const packed = names.filter((name) => values[name]?.shape.length === 1);
  if (packed.length < 2) return undefined;
  const sizes = packed.map((name) => values[name]!.shape[0]!);
  return {
    names: new Set(packed),
    join: (of) =>
      concat(
        packed.map((name) => of[name]!),
        0,
      ),
    split(joined) {
      let start = 0;
      return Object.fromEntries(
        packed.map((name, i) => {
          const part = slice(joined, 0, start, start + sizes[i]!);
          start += sizes[i]!;
          return [name, part];
        }),
      );
    },
  };
}
