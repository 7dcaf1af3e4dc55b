import { renameSync, rmSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTraining, type TrainingEnd, type TrainingOptions } from "./distributed-run.ts";
import { mpiLaunchers, privateNetwork } from "./mpi-launchers.ts";
import { rankProcesses } from "./rank-processes.ts";

let cwd: string;
let undisturbed: TrainingEnd;

const heartbeatSeconds = 2;
const together = [
  "distributed.use_distributed=true",
  "distributed.init_method=tcp://localhost:0",
  "distributed.world_size=2",
  "distributed.sync_batch_norm=true",
  `distributed.heartbeat_timeout=${heartbeatSeconds}`,
];

/**
 * A bound on how long a loss may go unseen that holds on a busy machine too: what would end the call without a
 * heartbeat, `distributed.collective_timeout`, is 300 s.
 */
const soonSeconds = 60;

beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), "cifar-elastic-"));
  undisturbed = await startTraining({ cwd, settings: together }).ended;
}, 120_000);

afterAll(() => rm(cwd, { recursive: true, force: true }));

interface Disturbed extends TrainingEnd {
  /** From the signal to the first warning of a loss. */
  readonly detectedAfterSeconds: number;
}

/** Sends a signal to a rank when a step is done. */
async function disturb(
  { rank, signal, step }: { readonly rank: number; readonly signal: NodeJS.Signals; readonly step: number },
  options: Pick<TrainingOptions, "settings" | "prefix">,
): Promise<Disturbed> {
  let [sentAt, detectedAt] = [0, 0];
  const run = startTraining({
    cwd,
    ...options,
    onEvent(event, child) {
      if (event.type === "step" && event.globalStep === step && sentAt === 0) {
        const pid = rankProcesses(child.pid!).get(rank);
        if (pid === undefined) throw new Error(`there is no process of rank ${rank}`);
        process.kill(pid, signal);
        sentAt = performance.now();
      }
      if (event.type === "warning" && sentAt > 0 && detectedAt === 0) detectedAt = performance.now();
    },
  });
  return { ...(await run.ended), detectedAfterSeconds: (detectedAt - sentAt) / 1000 };
}

const stepsOf = ({ events }: TrainingEnd): number[] =>
  events.filter(({ type }) => type === "step").map(({ globalStep }) => globalStep as number);

function expectWhole(end: TrainingEnd): void {
  expect(end.error).toBeUndefined();
  expect(end.code).toBe(0);
  expect(end.bundle).toMatch(/^resnet9_distributed_/);
  expect(stepsOf(end).at(-1)).toBe(16);
}

describe("a training over tcp goes on by itself", () => {
  it("when a rank dies: from the last step, the dead one started again", { timeout: 180_000 }, async () => {
    const end = await disturb({ rank: 1, signal: "SIGKILL", step: 5 }, { settings: together });
    expectWhole(end);
    expect(end.warnings.join("\n")).toMatch(/rank 1 ended with signal SIGKILL; restart 1 of 3/);
    // No step is lost or made twice, and every bit is as if nothing had happened.
    expect(stepsOf(end)).toEqual(Array.from({ length: 16 }, (_, i) => i + 1));
    expect(end.losses).toEqual(undisturbed.losses);
  });

  it("when rank 0 dies: it gets the state from another one", { timeout: 180_000 }, async () => {
    const end = await disturb({ rank: 0, signal: "SIGKILL", step: 11 }, { settings: together });
    expectWhole(end);
    expect(end.warnings.join("\n")).toMatch(/rank 0 ended with signal SIGKILL; restart 1 of 3/);
    const steps = stepsOf(end);
    // What it did not tell before it died was done all the same.
    expect(steps).toEqual([...new Set(steps)].sort((a, b) => a - b));
    expect(steps.length).toBeGreaterThanOrEqual(14);
    expect(end.losses.at(-1)).toBe(undisturbed.losses.at(-1));
    expect(end.validation.at(-1)).toBe(undisturbed.validation.at(-1));
  });

  it("when a rank hangs: silent for the time of a heartbeat, ended and started again", {
    timeout: 180_000,
  }, async () => {
    const end = await disturb({ rank: 1, signal: "SIGSTOP", step: 5 }, { settings: together });
    expectWhole(end);
    expect(end.warnings.join("\n")).toMatch(/rank 1 is lost: was silent for/);
    expect(end.detectedAfterSeconds).toBeLessThan(soonSeconds);
    expect(end.losses).toEqual(undisturbed.losses);
  });

  it("but not without end: where rank 0 can't keep its checkpoints all end, and it is resumed by hand", {
    timeout: 240_000,
  }, async () => {
    const settings = [...together, "distributed.max_restarts=0", "training.checkpoint_every_steps=2"];
    let [folder, pids]: [string, readonly number[]] = ["", []];
    const end = await startTraining({
      cwd,
      settings,
      onEvent(event, child) {
        if (event.type === "run") folder = join(cwd, event.directory as string);
        if (event.type !== "step" || event.globalStep !== 5) return;
        pids = [...rankProcesses(child.pid!).values()];
        renameSync(folder, `${folder} elsewhere`);
        writeFileSync(folder, "a file in the place of the folder");
      },
    }).ended;
    expect(end.error).toMatchObject({ code: "STORAGE_FAILED", message: expect.stringContaining("a file lies where") });
    expect(end.code).toBe(1);
    expect(pids).toHaveLength(2);
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow(/ESRCH/);
    rmSync(folder);
    renameSync(`${folder} elsewhere`, folder);
    const resumed = await startTraining({ cwd, settings, args: ["--resume", "auto"] }).ended;
    expectWhole(resumed);
    expect(stepsOf(resumed)[0]).toBeLessThanOrEqual(6);
    expect(resumed.losses.at(-1)).toBe(undisturbed.losses.at(-1));
  });
});

describe("a training over mpi starts again by itself", () => {
  for (const { name, mpirun, missing } of mpiLaunchers) {
    if (missing !== undefined) {
      it.skip(missing, () => undefined);
      continue;
    }
    const settings = [
      ...together,
      "distributed.backend=mpi",
      `distributed.mpirun=${JSON.stringify(mpirun)}`,
      "training.checkpoint_every_steps=2",
    ];
    // A rank that dies is seen by the launcher, one that hangs by us.
    const signal = name === "openmpi" ? "SIGKILL" : "SIGSTOP";
    it(`${name}: when rank 1 gets ${signal}, from a checkpoint`, { timeout: 240_000 }, async () => {
      const end = await disturb({ rank: 1, signal, step: 5 }, { settings, prefix: privateNetwork });
      expectWhole(end);
      expect(end.detectedAfterSeconds).toBeLessThan(soonSeconds);
      expect(end.warnings.join("\n")).toMatch(/mpirun ended with .*; restart 1 of 3/);
      const steps = stepsOf(end);
      const again = steps.findIndex((step, i) => i > 0 && step <= steps[i - 1]!);
      // At most back to the last checkpoint; none at all where rank 0 could save the last step.
      if (again > 0) expect(steps[again - 1]! - steps[again]!).toBeLessThanOrEqual(2);
      expect(end.losses.at(-1)).toBe(undisturbed.losses.at(-1));
    });
  }
});
