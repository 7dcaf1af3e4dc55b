import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCli } from "../cli/run-cli.ts";
import { type DistributedRun, small, startTraining } from "./distributed-run.ts";
import { mpiLaunchers, privateNetwork } from "./mpi-launchers.ts";

let cwd: string;
let alone: Awaited<DistributedRun["ended"]>;

const together = ["distributed.use_distributed=true", "distributed.init_method=tcp://localhost:0"];

beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), "cifar-distributed-"));
  alone = await startTraining({ cwd, settings: [] }).ended;
}, 120_000);

afterAll(() => rm(cwd, { recursive: true, force: true }));

const largest = (a: readonly number[], b: readonly number[]): number => {
  expect(a).toHaveLength(b.length);
  return Math.max(...a.map((x, i) => Math.abs(x - b[i]!)));
};

/**
 * Rounding differs, as sums are made in another order, and training amplifies it step by step: the first steps agree to
 * six digits, the whole curve to two.
 */
const tolerance = { firstSteps: 2e-4, curve: 2e-2 };

interface Way {
  readonly name: string;
  readonly settings: readonly string[];
  readonly prefix?: readonly string[];
  readonly missing?: string | undefined;
}

const ways: readonly Way[] = [
  { name: "4 ranks over a tcp tree", settings: ["distributed.world_size=4", "distributed.algorithm=tree"] },
  {
    name: "2 ranks over a tcp ring, the backward pass in two parts and small buckets",
    settings: [
      ...["distributed.world_size=2", "distributed.algorithm=ring"],
      ...["distributed.backward_parts=2", "distributed.bucket_mb=0.01"],
    ],
  },
  ...mpiLaunchers.map(
    ({ name, mpirun, missing }): Way => ({
      name: `2 ranks over ${name}`,
      settings: ["distributed.world_size=2", "distributed.backend=mpi", `distributed.mpirun=${JSON.stringify(mpirun)}`],
      prefix: privateNetwork,
      missing,
    }),
  ),
];

describe("several processes train as one", () => {
  for (const { name, settings, prefix, missing } of ways) {
    if (missing !== undefined) {
      it.skip(`${name}: ${missing}`, () => undefined);
      continue;
    }
    it(`${name}: the same loss curve with batch norm over all`, { timeout: 180_000 }, async () => {
      const all = [...together, ...settings, "distributed.sync_batch_norm=true"];
      const result = await startTraining({ cwd, settings: all, prefix }).ended;
      expect(result.error).toBeUndefined();
      expect(result.losses).toHaveLength(16);
      expect(largest(result.losses.slice(0, 4), alone.losses.slice(0, 4))).toBeLessThan(tolerance.firstSteps);
      expect(largest(result.losses, alone.losses)).toBeLessThan(tolerance.curve);
      expect(largest(result.validation, alone.validation)).toBeLessThan(tolerance.curve);
      expect(result.bundle).toMatch(/^resnet9_distributed_/);
    });
  }

  it("with batch norm over each process's own images the curve is another one, and its statistics are everywhere the same", {
    timeout: 120_000,
  }, async () => {
    const result = await startTraining({ cwd, settings: [...together, "distributed.world_size=2"] }).ended;
    expect(largest(result.losses.slice(0, 4), alone.losses.slice(0, 4))).toBeGreaterThan(10 * tolerance.firstSteps);
    // Each process has evaluated its part, with the same statistics: one process finds the same with those of the bundle.
    const evaluation = result.events.find(({ type }) => type === "evaluation")?.metrics as { loss: number };
    const model = join(cwd, "checkpoints", "models", result.bundle!);
    const { stdout } = await runCli(["evaluate", "--model", model, "--form", "portable", "--json"], { cwd });
    const { metrics } = JSON.parse(stdout) as { metrics: { loss: number } };
    expect(Math.abs(metrics.loss - evaluation.loss)).toBeLessThan(1e-5 * evaluation.loss);
  });

  it("that diverges is told as such", { timeout: 120_000 }, async () => {
    const settings = [...small, ...together, "distributed.world_size=2", "training.learning_rate=1e30"];
    const { code, stderr } = await runCli(["train", ...settings.flatMap((setting) => ["--set", setting])], { cwd });
    expect(stderr).toMatch(/code: TRAINING_DIVERGED/);
    expect(code).toBe(1);
  });

  it("with rounded gradients, local steps and batches in parts it is another one, and ends in one model", {
    timeout: 120_000,
  }, async () => {
    const slow = ["distributed.compression=float16", "distributed.local_steps=4", "training.gradient_accumulation=2"];
    const result = await startTraining({ cwd, settings: [...together, "distributed.world_size=2", ...slow] }).ended;
    expect(result.error).toBeUndefined();
    expect(result.losses).toHaveLength(16);
    expect(largest(result.losses, alone.losses)).toBeGreaterThan(10 * tolerance.firstSteps);
    expect(result.validation.every(Number.isFinite)).toBe(true);
    const evaluation = result.events.find(({ type }) => type === "evaluation")?.metrics as { loss: number };
    const model = join(cwd, "checkpoints", "models", result.bundle!);
    const { stdout } = await runCli(["evaluate", "--model", model, "--form", "portable", "--json"], { cwd });
    const { metrics } = JSON.parse(stdout) as { metrics: { loss: number } };
    expect(Math.abs(metrics.loss - evaluation.loss)).toBeLessThan(1e-5 * evaluation.loss);
  });
});
