import { fromUnit } from "../axis.ts";
import { type Domain, isActive, type ParameterValue, type Params, type Space } from "../space.ts";
import type { Sampler } from "./sampler.ts";

export interface GridOptions {
  /** Points of a range; whole numbers are all taken where there are no more than that. */
  readonly points: number;
}

/** Every combination once; the last parameter changes fastest. */
export function gridSampler({ points }: GridOptions): Sampler {
  let known: { readonly space: Space; readonly grid: readonly Params[] } | undefined;
  return {
    sample({ space, trials }) {
      if (known?.space !== space) known = { space, grid: gridOf(space, points) };
      return known.grid[trials.length];
    },
  };
}

export function gridOf({ dimensions }: Space, points: number): readonly Params[] {
  let grid: readonly Params[] = [{}];
  for (const [name, dimension] of Object.entries(dimensions)) {
    const values = gridValues(dimension.domain, points);
    grid = grid.flatMap((params) =>
      isActive(dimension, params) ? values.map((value) => ({ ...params, [name]: value })) : [params],
    );
  }
  return grid;
}

function gridValues(domain: Domain, points: number): readonly ParameterValue[] {
  if (domain.kind === "choice") return domain.values;
  const { min, max, integer } = domain;
  if (min === max) return [min];
  if (integer && max - min < points) return Array.from({ length: max - min + 1 }, (_, i) => min + i);
  if (points === 1) return [fromUnit(domain, 0.5)];
  const plain = { ...domain, integer: false };
  const values = Array.from({ length: points }, (_, i) => {
    // The ends themselves, not what rounding makes of them.
    if (i === 0) return min;
    if (i === points - 1) return max;
    const value = Number(fromUnit(plain, i / (points - 1)));
    return integer ? Math.round(value) : value;
  });
  return [...new Set(values)];
}
