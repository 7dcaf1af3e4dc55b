import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { createRng } from "../../src/base/rng.ts";
import { ksDistance, ksPValue, sorted } from "../../src/observability/drift/two-sample.ts";
import { gridOf, gridSampler } from "../../src/tuning/samplers/grid.ts";
import { parzenEstimator } from "../../src/tuning/samplers/parzen.ts";
import { quasiRandomSampler } from "../../src/tuning/samplers/quasi-random.ts";
import { randomSampler } from "../../src/tuning/samplers/random.ts";
import { scrambledSobol, sobolBits, sobolDimensions, sobolSequence } from "../../src/tuning/samplers/sobol.ts";
import { goodTrials, tpeSampler } from "../../src/tuning/samplers/tpe.ts";
import { choice, createSpace, integer, logUniform, type Params, uniform, when } from "../../src/tuning/space.ts";
import { optunaGolden } from "./optuna-golden.ts";
import { medianOf, minimise, trialOf } from "./simulated-study.ts";
import { standardFunctions } from "./standard-functions.ts";

const space = createSpace({
  optimizer: choice(["sgd", "adamw"]),
  rate: logUniform(1e-4, 1),
  layers: integer(1, 6),
  momentum: when("optimizer", ["sgd"], uniform(0.5, 1)),
});

const samplers = {
  random: () => randomSampler,
  grid: () => gridSampler({ points: 4 }),
  quasi_random: () => quasiRandomSampler({ seed: 3 }),
  tpe: () => tpeSampler({ startupTrials: 5 }),
};

describe.each(Object.entries(samplers))("the sampler %s", (_name, make) => {
  const history = (count: number): readonly Params[] => {
    const trials: ReturnType<typeof trialOf>[] = [];
    const sampler = make();
    for (let number = 0; number < count; number++) {
      const rng = createRng(1).split(number);
      const params = sampler.sample({ space, trials, direction: "minimize", rng })!;
      trials.push(trialOf({ number, params, status: "complete", reports: [{ step: 1, value: Number(params.rate) }] }));
    }
    return trials.map(({ params }) => params);
  };

  it("stays inside the space, and gives conditional parameters exactly where they exist", () => {
    for (const { optimizer, rate, layers, momentum, ...rest } of history(30)) {
      expect(["sgd", "adamw"]).toContain(optimizer);
      expect(Number(rate)).toBeGreaterThanOrEqual(1e-4);
      expect(Number(rate)).toBeLessThanOrEqual(1);
      expect([1, 2, 3, 4, 5, 6]).toContain(layers);
      expect(momentum !== undefined).toBe(optimizer === "sgd");
      expect(rest).toEqual({});
    }
  });

  it("proposes the same for the same trials", () => {
    expect(history(20)).toEqual(history(20));
  });
});

describe("gridSampler", () => {
  it("takes every combination once and then has nothing left", () => {
    const small = createSpace({ a: choice(["x", "y"]), b: integer(1, 3), c: when("a", ["x"], uniform(0, 1)) });
    const grid = gridOf(small, 3);
    expect(grid).toHaveLength(3 * 3 + 3);
    expect(new Set(grid.map((params) => JSON.stringify(params))).size).toBe(12);
    const trials = grid.map((params, number) => trialOf({ number, params, status: "complete" }));
    const rng = createRng(0);
    expect(gridSampler({ points: 3 }).sample({ space: small, trials, direction: "minimize", rng })).toBeUndefined();
  });

  it("spreads the points of a range on its scale, ends included", () => {
    const points = gridOf(createSpace({ rate: logUniform(0.001, 1) }), 4).map(({ rate }) => Number(rate));
    expect(points[0]).toBe(0.001);
    expect(points[1]).toBeCloseTo(0.01, 12);
    expect(points[2]).toBeCloseTo(0.1, 12);
    expect(points[3]).toBe(1);
  });
});

describe("sobolSequence", () => {
  it("has the points of PyTorch's engine in all its dimensions, in the order of Gray's code", () => {
    const { bits, rows } = JSON.parse(readFileSync(new URL("../goldens/sobol.json", import.meta.url), "utf8")) as {
      readonly bits: number;
      readonly rows: readonly { readonly from: number; readonly points: readonly (readonly number[])[] }[];
    };
    expect(bits).toBe(sobolBits);
    const sequence = sobolSequence();
    for (const { from, points } of rows) {
      expect(points[0]).toHaveLength(sobolDimensions);
      const ours = points.map((point, i) => {
        const index = from + i;
        return point.map((_, dimension) => sequence(index ^ (index >>> 1), dimension));
      });
      expect(ours).toEqual(points);
    }
  });
});

describe("scrambledSobol", () => {
  const unit = (seed: number) => {
    const sequence = scrambledSobol(createRng(seed));
    return (index: number, dimension: number): number => sequence(index, dimension) / 2 ** sobolBits;
  };

  it("has in each dimension one point in each of 2^k equal intervals for 2^k points in a row", () => {
    const point = unit(5);
    for (let dimension = 0; dimension < sobolDimensions; dimension++) {
      const cells = Array.from({ length: 64 }, (_, i) => Math.floor(point(128 + i, dimension) * 64));
      expect(cells.sort((x, y) => x - y)).toEqual(Array.from({ length: 64 }, (_, i) => i));
    }
  });

  it("has in its first two dimensions one of 2^k points in each rectangle of that part of the square", () => {
    const point = unit(6);
    for (let wide = 0; wide <= 6; wide++) {
      const cells = Array.from(
        { length: 64 },
        (_, i) => Math.floor(point(i, 0) * 2 ** wide) * 2 ** (6 - wide) + Math.floor(point(i, 1) * 2 ** (6 - wide)),
      );
      expect(new Set(cells).size).toBe(64);
    }
  });

  it("is another one for another seed, the first point too", () => {
    expect(unit(1)(0, 0)).not.toBe(unit(2)(0, 0));
    expect(unit(1)(5, 3)).toBe(unit(1)(5, 3));
  });

  it("estimates an integral over ten dimensions better than random points do", () => {
    const count = 512;
    const error = (point: (i: number, d: number) => number): number => {
      let sum = 0;
      for (let i = 0; i < count; i++) {
        let product = 1;
        for (let d = 0; d < 10; d++) product *= 1 + (point(i, d) - 0.5) * 0.8;
        sum += product;
      }
      return Math.abs(sum / count - 1);
    };
    const errors = (make: (seed: number) => (i: number, d: number) => number): number =>
      medianOf(Array.from({ length: 20 }, (_, seed) => error(make(seed))));
    const sobol = errors(unit);
    const random = errors((seed) => (i, d) => createRng(`${seed}/${i}/${d}`).uniform());
    expect(sobol).toBeLessThan(0.5 * random);
  });
});

describe("tpeSampler, against Optuna", () => {
  it("has the same densities", () => {
    const domains = {
      a: uniform(-2, 3).domain,
      b: logUniform(1e-4, 1e-1).domain,
      c: integer(1, 60).domain,
      d: integer(2, 128, "log").domain,
      e: choice([0, 1, 2]).domain,
    };
    for (const { observed, points, logDensity } of optunaGolden.densities) {
      const rows = (of: typeof observed): Params[] =>
        of.a.map((_, i) => ({ a: of.a[i]!, b: of.b[i]!, c: of.c[i]!, d: of.d[i]!, e: of.e[i]! }));
      const estimator = parzenEstimator(domains, rows(observed));
      const differences = rows(points).map((point, i) => estimator.logProbability(point) - logDensity[i]!);
      // Optuna's density of a logarithmic range is over the value, ours over its logarithm: a term for each point, the
      // same for the good and the bad trials.
      for (const [i, difference] of differences.entries()) {
        const logs = Math.log(points.b[i]!);
        expect(Math.min(Math.abs(difference), Math.abs(difference - logs))).toBeLessThan(1e-6);
      }
    }
  });

  it("calls the same trials good", () => {
    for (const { direction, trials, below } of optunaGolden.splits) {
      const observed = trials
        .map(({ status, reports }, number) => trialOf({ number, status, reports }))
        .filter(({ status }) => status !== "running");
      const good = goodTrials(observed, direction).map(({ number }) => number);
      expect(good.sort((x, y) => x - y)).toEqual(below);
    }
  });

  it.each(Object.entries(standardFunctions))(
    "is as good on %s: after 25, 50 and 100 trials the best values of 32 seeds are distributed as Optuna's, and below random search",
    (name, { space: searched, objective, minimum }) => {
      const { marks, functions } = optunaGolden.statistics;
      const golden = functions[name]!;
      const runs = Array.from({ length: 32 }, (_, seed) =>
        minimise(objective, { space: searched, sampler: tpeSampler(), trials: 100, seed }),
      );
      const figures = marks.map((mark, i) => {
        const [ours, theirs] = [runs.map((best) => best[mark - 1]!), golden.tpe[i]!];
        const p = ksPValue(ksDistance(sorted(ours), sorted(theirs)), ours.length, theirs.length);
        // Twelve comparisons in all.
        expect(p, `after ${mark} trials`).toBeGreaterThan(0.05 / 12);
        expect(medianOf(ours)).toBeLessThan(medianOf(golden.random[i]!));
        return `${(medianOf(ours) - minimum).toPrecision(3)}/${(medianOf(theirs) - minimum).toPrecision(3)} (p ${p.toFixed(2)})`;
      });
      process.stdout.write(`${name}, median above the minimum after ${marks}: ours/Optuna's ${figures.join(", ")}\n`);
    },
    240_000,
  );
});

describe("tpeSampler", () => {
  it("keeps parallel proposals apart: running trials count as bad ones", () => {
    const line = createSpace({ x: uniform(0, 1) });
    const done = Array.from({ length: 20 }, (_, number) =>
      trialOf({
        number,
        params: { x: number / 20 },
        status: "complete",
        reports: [{ step: 1, value: Math.abs(number / 20 - 0.5) }],
      }),
    );
    const spread = (liar: boolean): number => {
      const trials = [...done];
      const proposals: number[] = [];
      for (let n = 0; n < 8; n++) {
        const rng = createRng(2).split(n);
        const params = tpeSampler().sample({ space: line, trials, direction: "minimize", rng })!;
        proposals.push(Number(params.x));
        if (liar) trials.push(trialOf({ number: trials.length, params, status: "running" }));
      }
      const mean = proposals.reduce((sum, x) => sum + x, 0) / proposals.length;
      return Math.sqrt(proposals.reduce((sum, x) => sum + (x - mean) ** 2, 0) / proposals.length);
    };
    expect(spread(true)).toBeGreaterThan(1.2 * spread(false));
  });
});
