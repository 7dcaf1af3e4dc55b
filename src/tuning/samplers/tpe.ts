import { type Domain, isActive, type Params, type Space } from "../space.ts";
import { bestValue, compareValues, type Direction, isFinal, lastReport, type Trial } from "../trial.ts";
import { parzenEstimator } from "./parzen.ts";
import { randomSampler } from "./random.ts";
import type { Sampler } from "./sampler.ts";

export interface TpeOptions {
  /** Random trials before the first proposal; default 10. */
  readonly startupTrials?: number;
  /** Draws from the good trials' density, of which the most promising is proposed; default 24. */
  readonly candidates?: number;
}

/** Good trials are a tenth, at most so many. */
const mostGood = 25;

/**
 * Tree-structured Parzen estimator, multivariate: of candidates drawn from the density of the good trials' parameters,
 * the one that is the likeliest under it compared with the density of all others. Running trials count as bad ones
 * (constant liar), which keeps parallel proposals apart. Parameters with the same condition are drawn jointly, from the
 * trials that have them.
 */
export function tpeSampler({ startupTrials = 10, candidates = 24 }: TpeOptions = {}): Sampler {
  return {
    sample(context) {
      const { space, trials, direction, rng } = context;
      const observed = trials.filter((trial) => isFinal(trial) && trial.status !== "failed");
      if (observed.length < startupTrials) return randomSampler.sample(context);
      const good = new Set(goodTrials(observed, direction));
      const running = trials.filter(
        ({ status }) => status === "running" || status === "waiting" || status === "paused",
      );
      const bad = [...observed.filter((trial) => !good.has(trial)), ...running].sort((a, b) => a.number - b.number);
      const goodByNumber = [...good].sort((a, b) => a.number - b.number);
      let params: Params = {};
      for (const group of groupsOf(space)) {
        if (!isActive(group.dimension, params)) continue;
        const having = (of: readonly Trial[]): readonly Params[] =>
          of.map((trial) => trial.params).filter((known) => isActive(group.dimension, known));
        const best = parzenEstimator(group.domains, having(goodByNumber));
        const rest = parzenEstimator(group.domains, having(bad));
        let chosen: { readonly params: Params; readonly score: number } | undefined;
        for (let i = 0; i < candidates; i++) {
          const candidate = best.sample(rng);
          const score = best.logProbability(candidate) - rest.logProbability(candidate);
          if (chosen === undefined || score > chosen.score) chosen = { params: candidate, score };
        }
        params = { ...params, ...chosen?.params };
      }
      return params;
    },
  };
}

/** The best tenth: complete trials by their value, then pruned ones, those that came farther first. */
export function goodTrials(observed: readonly Trial[], direction: Direction): readonly Trial[] {
  const worst = direction === "minimize" ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
  const scoreOf = (trial: Trial): number => bestValue(trial, direction) ?? worst;
  const complete = observed.filter(({ status }) => status === "complete");
  const pruned = observed.filter(({ status }) => status === "pruned");
  complete.sort((a, b) => compareValues(direction, scoreOf(a), scoreOf(b)));
  pruned.sort(
    (a, b) =>
      (lastReport(b)?.step ?? -1) - (lastReport(a)?.step ?? -1) || compareFinite(direction, scoreOf(a), scoreOf(b)),
  );
  return [...complete, ...pruned].slice(0, Math.min(Math.ceil(0.1 * observed.length), mostGood));
}

function compareFinite(direction: Direction, a: number, b: number): number {
  return a === b ? 0 : compareValues(direction, a, b);
}

interface Group {
  /** Any of its dimensions: all have the same condition. */
  readonly dimension: Space["dimensions"][string];
  readonly domains: Readonly<Record<string, Domain>>;
}

/** Dimensions that exist together; each group behind those that it depends on. */
function groupsOf({ dimensions }: Space): readonly Group[] {
  const groups = new Map<string, { dimension: Group["dimension"]; domains: Record<string, Domain> }>();
  for (const [name, dimension] of Object.entries(dimensions)) {
    const key = JSON.stringify(dimension.when ?? null);
    const group = groups.get(key) ?? { dimension, domains: {} };
    group.domains[name] = dimension.domain;
    groups.set(key, group);
  }
  return [...groups.values()];
}
