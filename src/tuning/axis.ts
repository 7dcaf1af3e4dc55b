import type { Domain, ParameterValue, Range } from "./space.ts";

/**
 * A range as an interval of the real line, on which its values are equally likely: logarithms for a log scale, and for
 * whole numbers half a step more at both ends, so that each number has an interval of its own.
 */
export interface Axis {
  readonly low: number;
  readonly high: number;
}

export function axisOf({ min, max, scale, integer }: Range): Axis {
  const half = integer ? 0.5 : 0;
  const [low, high] = [min - half, max + half];
  return scale === "log" ? { low: Math.log(low), high: Math.log(high) } : { low, high };
}

export function toAxis({ scale }: Range, value: number): number {
  return scale === "log" ? Math.log(value) : value;
}

/** The value at a coordinate; coordinates outside stand for the nearest end. */
export function fromAxis({ min, max, scale, integer }: Range, coordinate: number): number {
  const value = scale === "log" ? Math.exp(coordinate) : coordinate;
  return Math.min(max, Math.max(min, integer ? Math.round(value) : value));
}

/** The interval of the axis that stands for a whole number. */
export function cellOf({ scale }: Range, value: number): Axis {
  const [low, high] = [value - 0.5, value + 0.5];
  return scale === "log" ? { low: Math.log(low), high: Math.log(high) } : { low, high };
}

/** The value at a share u of a domain, 0 <= u < 1. */
export function fromUnit(domain: Domain, u: number): ParameterValue {
  if (domain.kind === "choice")
    return domain.values[Math.min(domain.values.length - 1, Math.floor(u * domain.values.length))]!;
  const { low, high } = axisOf(domain);
  return fromAxis(domain, low + u * (high - low));
}

/** Where in a domain a value lies, 0..1; values of a choice are spread evenly. */
export function toUnit(domain: Domain, value: ParameterValue): number {
  if (domain.kind === "choice") {
    const count = domain.values.length;
    return count === 1 ? 0.5 : domain.values.indexOf(value) / (count - 1);
  }
  const { low, high } = axisOf(domain);
  return high === low ? 0.5 : (toAxis(domain, Number(value)) - low) / (high - low);
}
