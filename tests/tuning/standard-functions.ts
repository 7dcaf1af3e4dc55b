import {
  choice,
  createSpace,
  integer,
  logUniform,
  type Params,
  type Space,
  uniform,
  when,
} from "../../src/tuning/space.ts";

/** Functions to minimise, the same as in scripts/goldens/optuna_goldens.py. */

export interface StandardFunction {
  readonly space: Space;
  readonly objective: (params: Params) => number;
  /** The smallest value there is. */
  readonly minimum: number;
}

const vector = (params: Params, count: number): number[] =>
  Array.from({ length: count }, (_, i) => Number(params[`x${i}`]));

const alpha = [1, 1.2, 3, 3.2];
const a = [
  [10, 3, 17, 3.5, 1.7, 8],
  [0.05, 10, 17, 0.1, 8, 14],
  [3, 3.5, 1.7, 10, 17, 8],
  [17, 8, 0.05, 10, 0.1, 14],
];
const p = [
  [1312, 1696, 5569, 124, 8283, 5886],
  [2329, 4135, 8307, 3736, 1004, 9991],
  [2348, 1451, 3522, 2883, 3047, 6650],
  [4047, 8828, 8732, 5743, 1091, 381],
];

const cube = (count: number, low: number, high: number): Space =>
  createSpace(Object.fromEntries(Array.from({ length: count }, (_, i) => [`x${i}`, uniform(low, high)])));

export const standardFunctions: Readonly<Record<string, StandardFunction>> = {
  rosenbrock: {
    space: cube(4, -2, 2),
    objective(params) {
      const x = vector(params, 4);
      return [0, 1, 2].reduce((sum, i) => sum + 100 * (x[i + 1]! - x[i]! ** 2) ** 2 + (1 - x[i]!) ** 2, 0);
    },
    minimum: 0,
  },
  branin: {
    space: createSpace({ x: uniform(-5, 10), y: uniform(0, 15) }),
    objective(params) {
      const [x, y] = [Number(params.x), Number(params.y)];
      const inner = y - (5.1 / (4 * Math.PI ** 2)) * x ** 2 + (5 / Math.PI) * x - 6;
      return inner ** 2 + 10 * (1 - 1 / (8 * Math.PI)) * Math.cos(x) + 10;
    },
    minimum: 0.397887,
  },
  hartmann6: {
    space: cube(6, 0, 1),
    objective(params) {
      const x = vector(params, 6);
      return -alpha.reduce(
        (sum, weight, i) =>
          sum +
          weight * Math.exp(-x.reduce((inner, value, j) => inner + a[i]![j]! * (value - p[i]![j]! * 1e-4) ** 2, 0)),
        0,
      );
    },
    minimum: -3.32237,
  },
  mixed: {
    space: createSpace({
      optimizer: choice(["sgd", "adamw", "muon"]),
      learning_rate: logUniform(1e-5, 1),
      width: integer(1, 64, "log"),
      depth: integer(1, 10),
      momentum: when("optimizer", ["sgd"], uniform(0, 1)),
      newton_schulz_steps: when("optimizer", ["muon"], integer(1, 8)),
    }),
    objective(params) {
      const optimizer = params.optimizer as "sgd" | "adamw" | "muon";
      const best = { sgd: -1, adamw: -3, muon: -1.5 }[optimizer];
      let loss = { sgd: 0.05, adamw: 0.1, muon: 0 }[optimizer];
      loss += 0.3 * (Math.log10(Number(params.learning_rate)) - best) ** 2;
      loss += 0.1 * (Math.log2(Number(params.width)) - 5) ** 2 + 0.02 * (Number(params.depth) - 7) ** 2;
      if (optimizer === "sgd") loss += 2 * (Number(params.momentum) - 0.9) ** 2;
      if (optimizer === "muon") loss += 0.1 * Math.abs(Number(params.newton_schulz_steps) - 3);
      return loss;
    },
    minimum: 0,
  },
};
