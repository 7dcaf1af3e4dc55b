import { describe, expect, it } from "vitest";
import { createReferenceExecutor } from "../../src/backends/reference/executor.ts";
import { createRng } from "../../src/base/rng.ts";
import type { Batch } from "../../src/data/batch.ts";
import { initialWeights } from "../../src/models/model.ts";
import { resnet9 } from "../../src/models/resnet9.ts";
import { constantSchedule } from "../../src/optim/schedules.ts";
import { sgd } from "../../src/optim/sgd.ts";
import { floatData, type Named, type Tensor, tensor } from "../../src/tensor/tensor.ts";
import { nothingYet } from "../../src/training/early-stopping.ts";
import { decayGroups } from "../../src/training/parameter-groups.ts";
import type { Together } from "../../src/training/peers.ts";
import { type RunnerOptions, type StepResult, startStepRunner } from "../../src/training/step-runner.ts";
import { memoryPeers } from "../distributed/memory-peers.ts";

const globalBatch = 8;
const extent = { stepsPerEpoch: 6, totalSteps: 12 };
const model = resnet9({ classes: 3, height: 8, width: 8, widthFactor: 1 / 16, dropoutRate: 0.25 });
const executor = createReferenceExecutor();

interface Variant {
  readonly accumulation?: number;
  readonly momentum?: number;
  readonly normStatistics?: "batch" | "running";
  readonly emaDecay?: number;
}

function optionsOf({ accumulation = 1, momentum = 0.9, normStatistics = "batch", emaDecay }: Variant): RunnerOptions {
  const groups = decayGroups(model, { learningRate: 0.05, weightDecay: 1e-3, schedule: constantSchedule });
  return {
    step: {
      ...{ model, batchSize: globalBatch, accumulation, normStatistics },
      optimizer: sgd({ groups, momentum }),
      images: { mean: [0.5, 0.45, 0.4], std: [0.25, 0.2, 0.3] },
    },
    executor,
    rng: createRng("dropout"),
    initialWeights: initialWeights(model, createRng(3)),
    emaDecay,
  };
}

/** Rows of a global batch, which follows from the step alone. */
function batchOf(at: number, [from, to]: readonly [number, number] = [0, globalBatch]): Batch {
  const rng = createRng(`batch/${at}`);
  const size = 3 * 8 * 8;
  const images = Uint8Array.from({ length: globalBatch * size }, () => rng.int(256));
  const labels = Int32Array.from({ length: globalBatch }, () => rng.int(3));
  return {
    step: at % extent.stepsPerEpoch,
    images: tensor("uint8", [to - from, 3, 8, 8], images.slice(from * size, to * size)),
    labels: tensor("int32", [to - from], labels.slice(from, to)),
  };
}

async function alone(variant: Variant, steps: number): Promise<{ results: StepResult[]; state: Named<Tensor> }> {
  await using runner = await startStepRunner(optionsOf(variant), extent);
  const results: StepResult[] = [];
  for (let at = 0; at < steps; at++) results.push(await runner.run(batchOf(at), at));
  return { results, state: runner.readState() };
}

interface Spread extends Omit<Together, "peers" | "batchNorm"> {
  readonly variant?: Variant;
  readonly steps?: number;
  /** What one of the processes has otherwise. */
  readonly own?: (rank: number) => Partial<RunnerOptions>;
}

/** Each process with its rows of the global batch. */
async function together(
  worldSize: number,
  { variant = {}, steps = 6, own = () => ({}), ...how }: Spread,
): Promise<readonly { readonly results: readonly StepResult[]; readonly state: Named<Tensor> }[]> {
  const share = globalBatch / worldSize;
  return Promise.all(
    memoryPeers(worldSize).map(async (peers, rank) => {
      const options = { ...optionsOf(variant), together: { ...how, peers, batchNorm: "own" as const }, ...own(rank) };
      await using runner = await startStepRunner(options, extent);
      const results: StepResult[] = [];
      const first = options.resume?.progress.globalStep ?? 0;
      for (let at = first; at < steps; at++)
        results.push(await runner.run(batchOf(at, [rank * share, (rank + 1) * share]), at));
      return { results, state: runner.readState() };
    }),
  );
}

function largestDifference(a: Named<Tensor>, b: Named<Tensor>, names = Object.keys(a)): number {
  expect(names.length).toBeGreaterThan(0);
  return Math.max(
    ...names.map((name) => {
      const other = floatData(b[name]!);
      return floatData(a[name]!).reduce((largest, value, i) => Math.max(largest, Math.abs(value - other[i]!)), 0);
    }),
  );
}

const parameters = model.module.parameters.filter(({ trainable }) => trainable).map(({ name }) => name);

describe("gradient accumulation", () => {
  it("gives the step of the whole batch, where batch norm does not look at it", async () => {
    const whole = await alone({ normStatistics: "running", emaDecay: 0.9 }, 4);
    const parts = await alone({ normStatistics: "running", emaDecay: 0.9, accumulation: 4 }, 4);
    expect(Object.keys(parts.state)).toEqual(Object.keys(whole.state));
    expect(largestDifference(parts.state, whole.state)).toBeLessThan(1e-5);
    for (const [at, { loss, correct, gradientNorm }] of parts.results.entries()) {
      expect(loss).toBeCloseTo(whole.results[at]!.loss, 5);
      expect(correct).toBe(whole.results[at]!.correct);
      expect(gradientNorm).toBeCloseTo(whole.results[at]!.gradientNorm, 4);
    }
  });

  it("goes with several processes: two with two parts each are as four with one", async () => {
    const variant = { normStatistics: "running" } as const;
    const four = await together(4, { variant });
    const two = await together(2, { variant: { ...variant, accumulation: 2 } });
    expect(largestDifference(two[0]!.state, four[0]!.state, parameters)).toBeLessThan(1e-5);
    expect(two[1]!.results.map(({ loss }) => loss)).toEqual(two[0]!.results.map(({ loss }) => loss));
  });
});

describe("local steps", () => {
  const plainOuter = { every: 1, learningRate: 1, momentum: 0 };

  it("are synchronous training when each one is exchanged and neither optimiser has a momentum", async () => {
    // Batch norm over four images would make much of rounding.
    const variant = { momentum: 0, normStatistics: "running" } as const;
    const [synchronous] = await together(2, { variant });
    const [first, second] = await together(2, { variant, localSteps: plainOuter });
    expect(largestDifference(first!.state, synchronous!.state, parameters)).toBeLessThan(1e-5);
    expect(largestDifference(first!.state, second!.state, parameters)).toBe(0);
    // Exchanged: the mean over both.
    expect(first!.results.map(({ loss }) => loss)).toEqual(second!.results.map(({ loss }) => loss));
    expect(first!.results[3]!.loss).toBeCloseTo(synchronous!.results[3]!.loss, 5);
  });

  it("part and come together again, with all that is averaged", async () => {
    const localSteps = { every: 4, learningRate: 0.7, momentum: 0.9 };
    const variant = { emaDecay: 0.9 };
    const after = async (steps: number) => together(2, { variant, localSteps, steps });
    const [a, b] = await after(3);
    expect(largestDifference(a!.state, b!.state, parameters)).toBeGreaterThan(1e-4);
    // The fourth step, and the sixth, which ends an epoch.
    for (const steps of [4, 6]) {
      const [first, second] = await after(steps);
      const names = Object.keys(first!.state);
      const shared = names.filter((name) => parameters.includes(name) || /^(ema|outer|outer-momentum)\//.test(name));
      expect(shared.length).toBeGreaterThan(3 * parameters.length);
      expect(largestDifference(first!.state, second!.state, shared)).toBe(0);
    }
  });

  it("go on from a checkpoint between two exchanges as if nothing had happened", async () => {
    const localSteps = { every: 4, learningRate: 0.7, momentum: 0.9 };
    const straight = await together(2, { localSteps, steps: 6 });
    const before = await together(2, { localSteps, steps: 3 });
    const progress = {
      ...{ formatVersion: 1 as const, fingerprint: "f", epoch: 0, step: 3, globalStep: 3 },
      ...{ running: { loss: 0, correct: 0, images: 0, seconds: 0 }, best: nothingYet },
    };
    const resumed = await together(2, {
      ...{ localSteps, steps: 6 },
      own: (rank) => ({ resume: { progress, state: before[rank]!.state, bestWeights: {} } }),
    });
    for (const [rank, { state }] of resumed.entries()) expect(largestDifference(state, straight[rank]!.state)).toBe(0);
  });

  it("end in all processes at the same exchange, when one is asked to stop or has no number any more", async () => {
    const localSteps = { ...plainOuter, every: 3 };
    const stopped = await together(2, {
      localSteps,
      own: (rank) => (rank === 1 ? { signal: AbortSignal.abort() } : {}),
    });
    for (const { results } of stopped)
      expect(results.map(({ stopping }) => stopping)).toEqual([false, false, true, false, false, true]);
    const broken = await together(2, {
      localSteps,
      own: (rank) => {
        const weights = initialWeights(model, createRng(3));
        const last = parameters.at(-1)!;
        const spoilt = { ...weights[last]!, data: weights[last]!.data.slice().fill(Number.NaN) } as Tensor;
        return rank === 1 ? { initialWeights: { ...weights, [last]: spoilt } } : {};
      },
    });
    for (const { results } of broken)
      expect(results.slice(0, 3).map(({ loss }) => Number.isFinite(loss))).toEqual([true, true, false]);
  });
});
