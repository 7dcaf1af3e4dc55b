import type { Rng } from "../../base/rng.ts";
import { axisOf, cellOf, fromAxis, toAxis } from "../axis.ts";
import type { Choice, Domain, ParameterValue, Params, Range } from "../space.ts";
import { logDensity, logSumExp, mass, truncatedQuantile } from "./normal.ts";

/** One dimension of every kernel of an estimator. */
interface Kernels {
  sample(kernel: number, rng: Rng): ParameterValue;
  /** Adds to each kernel's sum what it says of a value. */
  addLogProbabilities(value: ParameterValue, sums: Float64Array): void;
}

/** A density over some parameters: a mixture of products, one kernel for each observation and one for the prior. */
export interface ParzenEstimator {
  sample(rng: Rng): Params;
  logProbability(params: Params): number;
}

/**
 * The multivariate estimator of TPE (Bergstra et al. 2011; Falkner et al. 2018) with the details of Optuna 5: a kernel
 * is as wide as the distance to the farther of its neighbours, within bounds that depend on how many there are; the
 * prior is one kernel over the whole range; observations count less the longer ago they were, from the 26th last on.
 */
export function parzenEstimator(
  domains: Readonly<Record<string, Domain>>,
  observations: readonly Params[],
): ParzenEstimator {
  const names = Object.keys(domains);
  const kernels = names.map((name) => {
    const values = observations.map((params) => params[name]!);
    const domain = domains[name]!;
    return domain.kind === "choice" ? choiceKernels(domain, values) : rangeKernels(domain, values.map(Number));
  });
  const weights = [...observationWeights(observations.length), 1];
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const logWeights = Float64Array.from(weights, (weight) => Math.log(weight / total));
  return {
    sample(rng) {
      let share = rng.uniform() * total;
      let kernel = weights.findIndex((weight) => {
        share -= weight;
        return share < 0;
      });
      if (kernel < 0) kernel = weights.length - 1;
      return Object.fromEntries(names.map((name, i) => [name, kernels[i]!.sample(kernel, rng)]));
    },
    logProbability(params) {
      const sums = logWeights.slice();
      for (const [i, name] of names.entries()) kernels[i]!.addLogProbabilities(params[name]!, sums);
      return logSumExp(sums);
    },
  };
}

/** Oldest first: 1 for the last 25, falling linearly to 1/n before them. */
export function observationWeights(count: number): readonly number[] {
  const ramp = Math.max(0, count - 25);
  return Array.from({ length: count }, (_, i) => {
    if (i >= ramp) return 1;
    return ramp === 1 ? 1 / count : 1 / count + (i / (ramp - 1)) * (1 - 1 / count);
  });
}

function choiceKernels({ values }: Choice, observed: readonly ParameterValue[]): Kernels {
  const count = observed.length + 1;
  const base = 1 / count;
  const norm = 1 + values.length * base;
  const probability = (kernel: number, value: ParameterValue): number => {
    if (kernel === observed.length) return 1 / values.length;
    return (base + (observed[kernel] === value ? 1 : 0)) / norm;
  };
  return {
    sample(kernel, rng) {
      let share = rng.uniform();
      return (
        values.find((value) => {
          share -= probability(kernel, value);
          return share < 0;
        }) ?? values.at(-1)!
      );
    },
    addLogProbabilities(value, sums) {
      const [hit, miss] = [Math.log((base + 1) / norm), Math.log(base / norm)];
      for (const [kernel, known] of observed.entries()) sums[kernel]! += known === value ? hit : miss;
      sums[observed.length]! -= Math.log(values.length);
    },
  };
}

function rangeKernels(range: Range, observed: readonly number[]): Kernels {
  const { low, high } = axisOf(range);
  if (low === high) return { sample: () => range.min, addLogProbabilities: () => undefined };
  const centres = observed.map((value) => toAxis(range, value));
  const widths = kernelWidths(centres, { low, high });
  centres.push(0.5 * (low + high));
  widths.push(high - low);
  const bounds = centres.map((centre, i) => [(low - centre) / widths[i]!, (high - centre) / widths[i]!] as const);
  const logMasses = Float64Array.from(bounds, ([from, to]) => Math.log(mass(from, to)));
  const logWidths = Float64Array.from(widths, Math.log);
  // Candidates have few different whole numbers, and the mass of a cell is dear.
  const cells = new Map<number, Float64Array>();
  const logCells = (value: number): Float64Array => {
    const { low: left, high: right } = cellOf(range, value);
    return Float64Array.from(centres, (centre, kernel) => {
      const width = widths[kernel]!;
      return Math.log(mass((left - centre) / width, (right - centre) / width));
    });
  };
  return {
    sample(kernel, rng) {
      const [from, to] = bounds[kernel]!;
      return fromAxis(range, centres[kernel]! + widths[kernel]! * truncatedQuantile(rng.uniform(), from, to));
    },
    addLogProbabilities(given, sums) {
      const value = Number(given);
      if (range.integer) {
        const known = cells.get(value) ?? logCells(value);
        cells.set(value, known);
        for (let kernel = 0; kernel < sums.length; kernel++) sums[kernel]! += known[kernel]! - logMasses[kernel]!;
        return;
      }
      const at = toAxis(range, value);
      for (let kernel = 0; kernel < sums.length; kernel++) {
        const z = (at - centres[kernel]!) / widths[kernel]!;
        sums[kernel]! += logDensity(z) - logWidths[kernel]! - logMasses[kernel]!;
      }
    },
  };
}

/** Distance to the farther neighbour; the outermost look inwards only, unless they are alone. */
function kernelWidths(
  centres: readonly number[],
  { low, high }: { readonly low: number; readonly high: number },
): number[] {
  const order = centres.map((_, i) => i).sort((a, b) => centres[a]! - centres[b]!);
  const sorted = order.map((i) => centres[i]!);
  const widest = high - low;
  const narrowest = widest / Math.min(100, centres.length + 2);
  const widths = new Array<number>(centres.length);
  for (const [rank, index] of order.entries()) {
    const left = sorted[rank]! - (sorted[rank - 1] ?? low);
    const right = (sorted[rank + 1] ?? high) - sorted[rank]!;
    const alone = centres.length === 1;
    const width = alone
      ? Math.max(left, right)
      : rank === 0
        ? right
        : rank === centres.length - 1
          ? left
          : Math.max(left, right);
    widths[index] = Math.min(widest, Math.max(narrowest, width));
  }
  return widths;
}
