import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { createRng } from "../../src/base/rng.ts";
import { flattenConfig } from "../../src/config/flatten.ts";
import { loadConfig } from "../../src/config/load.ts";
import { formatOverride } from "../../src/config/override.ts";
import { configuredSpace, overridesOf } from "../../src/experiments/configured-space.ts";
import { sweepYaml, tunedConfig } from "../../src/experiments/sweep-plan.ts";
import { checkSameSweep } from "../../src/experiments/sweep-resume.ts";
import { localExecutor } from "../../src/tuning/executors/local.ts";
import { openJournal, readStudy } from "../../src/tuning/journal.ts";
import { gridSampler } from "../../src/tuning/samplers/grid.ts";
import { quasiRandomSampler } from "../../src/tuning/samplers/quasi-random.ts";
import { randomSampler } from "../../src/tuning/samplers/random.ts";
import { tpeSampler } from "../../src/tuning/samplers/tpe.ts";
import { choice, createSpace, logUniform, type ParameterValue, uniform } from "../../src/tuning/space.ts";
import type { ScriptedAttempt } from "./scripted-executor.ts";
import { studyFolder, sweep } from "./scripted-sweep.ts";
import { trialOf } from "./simulated-study.ts";

vi.setConfig({ testTimeout: 120_000 });

const done = (say: ScriptedAttempt["say"], value: number): void => {
  say({ type: "report", step: 4, metrics: { val_accuracy: value }, flops: 1 });
  say({ type: "result", outcome: "complete", step: 4 });
};

/** What a tuner that is killed now leaves behind: its journal, of which every whole line counts. */
async function killedNow(directory: string): Promise<string> {
  const copy = await studyFolder();
  await mkdir(copy, { recursive: true });
  await copyFile(join(directory, "journal.jsonl"), join(copy, "journal.jsonl"));
  return copy;
}

describe("many trials", () => {
  it("run once each, eight at a time", async () => {
    const runs = new Map<number, number>();
    const { study } = await sweep(
      async ({ trial, say }) => {
        runs.set(trial, (runs.get(trial) ?? 0) + 1);
        done(say, trial);
      },
      { slots: 8, budget: { trials: 100 } },
    );
    expect([...runs]).toHaveLength(100);
    expect([...runs.values()].every((count) => count === 1)).toBe(true);
    expect(study.trials.every(({ status, attempts }) => status === "complete" && attempts === 1)).toBe(true);
  });

  it("all finish when the tuner is killed while four of twenty run, and none is left running", async () => {
    const directory = await studyFolder();
    let left: string | undefined;
    const script = async ({ trial, say }: ScriptedAttempt): Promise<void> => {
      // The ninth to twelfth wait for each other, so that all four run when the journal is taken.
      if (trial >= 8 && left === undefined) {
        for (;;) {
          const { trials } = await readStudy(directory);
          if (trials.filter(({ status }) => status === "running").length === 4) break;
          await sleep(20);
        }
        left ??= await killedNow(directory);
      }
      done(say, trial);
    };
    await sweep(script, { directory, slots: 4, budget: { trials: 20 } });
    const before = await readStudy(left!);
    expect(before.trials.filter(({ status }) => status === "running")).toHaveLength(4);
    const finished = before.trials.filter(({ status }) => status === "complete").map(({ number }) => number);
    const after = await sweep(async ({ trial, say }) => done(say, trial), {
      ...{ directory: left!, slots: 4, budget: { trials: 20 } },
    });
    expect(after.study.trials.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => "complete"));
    const again = after.started.map((id) => Number(id.split("-")[1]));
    expect(again.toSorted((x, y) => x - y)).toEqual(
      Array.from({ length: 20 }, (_, i) => i).filter((number) => !finished.includes(number)),
    );
  });

  it("of a grid of 450 run the other 440 when the tuner is killed after ten", async () => {
    const space = createSpace({
      rate: choice(Array.from({ length: 15 }, (_, i) => 10 ** -i)),
      decay: choice(Array.from({ length: 30 }, (_, i) => i)),
    });
    const first = await sweep(async ({ trial, say }) => done(say, trial), {
      ...{ space, sampler: gridSampler({ points: 5 }), budget: { trials: 10 } },
    });
    const { study, started, end } = await sweep(async ({ trial, say }) => done(say, trial), {
      ...{ directory: await killedNow(first.directory), slots: 8 },
      ...{ sampler: gridSampler({ points: 5 }), budget: { trials: 1000 } },
    });
    expect(end).toBe("exhausted");
    expect(started).toHaveLength(440);
    expect(new Set(study.trials.map(({ params }) => JSON.stringify(params))).size).toBe(450);
    expect(study.trials.slice(0, 10)).toEqual(first.study.trials);
  });
});

describe("values", () => {
  const numbers = [-7.5e-5, 888.33, 1e3, 5e-324, 0.1 + 0.2];

  it("are kept to the last bit: in the journal, in a trial's settings and in tuned_config.yaml", async () => {
    const space = createSpace({ x: choice(numbers) });
    const { directory } = await sweep(async ({ trial, say }) => done(say, trial), {
      ...{ space, sampler: gridSampler({ points: 5 }), budget: { trials: 10 } },
    });
    const { trials } = await readStudy(directory);
    expect(trials.map(({ params }) => params.x)).toEqual(numbers);

    const file = join(await temporaryFolder(), "config.yaml");
    await writeFile(file, sweepYaml(loadConfig({ env: {} })));
    for (const rate of [7.5e-5, 888.33e-6, 1e-3, 0.1 + 0.2]) {
      const tuned = tunedConfig(file, { "training.learning_rate": rate });
      expect(tuned.training.learning_rate).toBe(rate);
      // As it goes to the tracking store.
      expect(Number(flattenConfig(tuned)["training.learning_rate"])).toBe(rate);
    }
    expect(loadConfig({ env: {}, overrides: ["training.learning_rate=1E-3"] }).config.training.learning_rate).toBe(
      0.001,
    );
  });

  it("of a choice keep their types, and a resume with others is refused before any trial", async () => {
    const values: readonly ParameterValue[] = [1, "1", true, null, "true", "null"];
    const space = createSpace({ x: choice(values), y: choice([null, 2]) });
    const { directory, study } = await sweep(async ({ trial, say }) => done(say, trial), {
      ...{ space, sampler: gridSampler({ points: 5 }), budget: { trials: 100 } },
    });
    await using journal = await openJournal(directory);
    expect(journal.study.space).toEqual(space);
    expect(journal.study.trials.map(({ params }) => params)).toEqual(study.trials.map(({ params }) => params));
    expect(new Set(study.trials.map(({ params }) => params.x))).toEqual(new Set(values));

    const parameters = (x: unknown) =>
      loadConfig({ env: {}, overrides: [formatOverride("ray_tune.parameters", { batch_size: { values: x } })] }).config;
    const before = parameters([1, "1", true, null]);
    expect(() => checkSameSweep("study_1", { before, now: parameters([1, "1", true, null]) })).not.toThrow();
    for (const other of [
      [1, 1.5, true, null],
      ["1", 1, true, null],
      [1, "1", "true", null],
      [1, "1", true, "null"],
    ])
      expect(() => checkSameSweep("study_1", { before, now: parameters(other) })).toThrow(
        expect.objectContaining({ code: "RESUME_REFUSED" }),
      );
  });

  it("may be null where a key takes it", () => {
    const overrides = [
      formatOverride("ray_tune.parameters", { grad_clip_norm: { values: [null, 1] }, momentum: { min: 0, max: 0.9 } }),
    ];
    const { config } = loadConfig({ env: {}, overrides });
    const params = gridSampler({ points: 2 }).sample({
      ...{ space: configuredSpace(config), trials: [], direction: "minimize", rng: createRng(1) },
    })!;
    expect(params["training.grad_clip_norm"]).toBeNull();
    expect(loadConfig({ env: {}, overrides: overridesOf(params) }).config.training.grad_clip_norm).toBeNull();
  });
});

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "tuning-trials-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

describe("a trial's process", () => {
  it("that takes its time to end has ended when the executor says so, and leaves no zombie", async () => {
    const folder = await temporaryFolder();
    const program = join(folder, "slow.mjs");
    // Ready when its handlers are there; told to end, by a signal or by the end of its input, it takes two seconds.
    await writeFile(
      program,
      `process.on("SIGTERM", () => {});
      process.stdin.on("end", () => setTimeout(() => process.exit(0), 2000)).resume();
      console.log("ready");`,
    );
    await using executor = localExecutor({ command: [process.execPath, program], cores: 1 });
    const job = await executor.start({
      ...{ id: "trial-0000-1", specFile: join(folder, "spec.json"), resources: { cpu: 1, gpu: 0 } },
    });
    for await (const line of job.lines) if (line === "ready") break;
    const pid = Number(job.handle.replace("pid:", ""));
    const isThere = (): boolean => {
      try {
        process.kill(pid, 0);
        return true;
      } catch {
        return false;
      }
    };
    process.kill(pid, "SIGTERM");
    let stopped = false;
    const stopping = job.stop("save").then(() => {
      stopped = true;
    });
    while (!stopped) {
      // A zombie would be there still when all is said to be over.
      const thereBefore = isThere();
      await sleep(20);
      if (stopped) break;
      expect(thereBefore).toBe(true);
    }
    await stopping;
    expect(isThere()).toBe(false);
    expect(await job.ended).toEqual({ detail: "the process ended with code 0" });
  });
});

describe("what a sampler makes of its trials", () => {
  const space = createSpace({ x: uniform(0, 1), rate: logUniform(1e-4, 1) });
  const rng = () => createRng("proposal");
  const complete = Array.from({ length: 20 }, (_, number) => {
    const params = randomSampler.sample({ space, trials: [], direction: "minimize", rng: createRng(number) })!;
    return trialOf({ number, params, status: "complete", reports: [{ step: 1, value: Number(params.x) }] });
  });

  it("a trial that reported nothing is none to TPE, whichever direction is good", () => {
    const nothing = Array.from({ length: 30 }, (_, i) =>
      trialOf({ number: 20 + i, params: { x: 0.99, rate: 0.9 }, status: "failed" }),
    );
    for (const direction of ["minimize", "maximize"] as const) {
      const proposal = (trials: typeof complete) => tpeSampler().sample({ space, trials, direction, rng: rng() });
      expect(proposal([...complete, ...nothing])).toEqual(proposal(complete));
    }
  });

  const samplers = {
    random: () => randomSampler,
    quasi_random: () => quasiRandomSampler({ seed: 1 }),
    tpe: () => tpeSampler({ startupTrials: 4 }),
  };
  it.each(Object.entries(samplers))("%s: four at once begin with four configurations", async (_name, make) => {
    const { study } = await sweep(async ({ trial, say }) => done(say, trial), {
      ...{ space, sampler: make(), slots: 4, budget: { trials: 8 } },
    });
    expect(new Set(study.trials.map(({ params }) => JSON.stringify(params))).size).toBe(8);
  });

  it.each(Object.entries(samplers))("%s: two sweeps, a trial at a time, are the same", async (_name, make) => {
    const paramsOf = async () => {
      const { study } = await sweep(async ({ trial, say }) => done(say, Math.sin(trial)), {
        ...{ space, sampler: make(), budget: { trials: 12 } },
      });
      return study.trials.map(({ params }) => params);
    };
    expect(await paramsOf()).toEqual(await paramsOf());
  });
});
