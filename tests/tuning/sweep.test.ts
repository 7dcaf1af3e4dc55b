import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { latestRun } from "../../src/experiments/run-folder.ts";
import { readBundle } from "../../src/inference/bundle.ts";
import { openSqlStore } from "../../src/tracking/sql/store.ts";
import { readStudy } from "../../src/tuning/journal.ts";
import type { Study } from "../../src/tuning/study.ts";
import type { StudyEvent } from "../../src/tuning/study-event.ts";
import type { StudyState } from "../../src/tuning/summary.ts";
import { type CliResult, eventsOf, runCli, startCli } from "../cli/run-cli.ts";

// Sweeps through the real program, on a small part of the synthetic images, one trial at a time: so every number of a
// sweep that was killed can be compared with one that was not.
const small = [
  ...["dataset.source=synthetic", "dataset.limit=400", "model.name=airbench", "model.width=0.125"],
  ...["model.airbench.whitening_samples=200", "training.batch_size=32", "training.num_epochs=4", "training.seed=7"],
  ...["evaluation.batch_size=100", "ray_tune.num_samples=5", "ray_tune.max_concurrent=1"],
  ...[
    "ray_tune.resources_per_trial.cpu=1",
    "ray_tune.search.startup_trials=2",
    "ray_tune.scheduler.reduction_factor=2",
  ],
  "ray_tune.parameters={learning_rate: {min: 0.001, max: 1}, momentum: {min: 0.5, max: 0.95}}",
].flatMap((setting) => ["--set", setting]);

vi.setConfig({ testTimeout: 400_000, hookTimeout: 400_000 });

let root: string;
let whole: string;
let killed: string;
let uninterrupted: CliResult;
let resumed: CliResult;
/** A trial that comes to its end: while it runs, the tuner is killed. */
let interrupted: number;
/** Trials that were final when the tuner was killed. */
let finalAtKill: readonly number[];
const trialPids: number[] = [];

function studyEvents(stdout: string): readonly StudyEvent[] {
  return eventsOf(stdout).flatMap(({ type, event }) => (type === "study" ? [event as StudyEvent] : []));
}

async function studyDirectory(cwd: string): Promise<string> {
  const studies = join(cwd, "checkpoints", "studies");
  const names = await readdir(studies);
  expect(names).toHaveLength(1);
  return join(studies, names[0]!);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "cli-sweep-"));
  whole = join(root, "whole");
  killed = join(root, "killed");
  await Promise.all([mkdir(whole), mkdir(killed)]);
  uninterrupted = await runCli(["tune", ...small, "--json"], { cwd: whole });
  const { trials: calm } = await studyIn(whole);
  interrupted = calm.findIndex(({ number, status }) => number > 0 && status === "complete");
  expect(interrupted).toBeGreaterThan(0);

  let trialKilled = false;
  const { child, ended } = startCli(["tune", ...small, "--json"], {
    cwd: killed,
    onLine(line) {
      const { event } = JSON.parse(line) as { event?: StudyEvent };
      if (event?.type === "started") trialPids.push(Number(event.handle.replace("pid:", "")));
      if (event?.type !== "report") return;
      if (event.trial === 0 && !trialKilled) {
        trialKilled = true;
        process.kill(trialPids.at(-1)!, "SIGKILL");
      }
      // No trial is judged there, so it would have gone on.
      if (event.trial === interrupted && event.step === 3) child.kill("SIGKILL");
    },
  });
  await ended;
  const { trials } = await readStudy(await studyDirectory(killed));
  finalAtKill = trials.filter(({ status }) => status === "complete" || status === "pruned").map(({ number }) => number);
  resumed = await runCli(["tune", "--resume", "last", "--json"], { cwd: killed });
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function studyIn(cwd: string): Promise<Study> {
  return readStudy(await studyDirectory(cwd));
}

describe("cifar tune", () => {
  it("runs the trials and ends with the best one's model and configuration", async () => {
    expect(uninterrupted.code, uninterrupted.stderr).toBe(0);
    const result = eventsOf(uninterrupted.stdout).at(-1) as never as {
      type: string;
      end: string;
      best: { trial: number; value: number; bundle: { directory: string }; configFile: string };
    };
    expect(result).toMatchObject({ type: "result", end: "completed" });
    const { trials } = await studyIn(whole);
    expect(trials).toHaveLength(5);
    const values = trials
      .filter(({ status }) => status === "complete")
      .flatMap(({ reports }) => reports.map(({ value }) => value));
    expect(result.best.value).toBe(Math.max(...values));
    const { metadata } = await readBundle(result.best.bundle.directory);
    expect(metadata.name).toMatch(/^airbench_tuned_\d{8}-\d{6}$/);
    expect(await readdir(join(whole, "checkpoints", "models"))).toEqual([metadata.name]);

    const file = join(whole, result.best.configFile);
    expect(result.best.configFile).toBe("config/tuned_config.yaml");
    const { config } = loadConfig({ file, env: {} });
    expect(config.training.learning_rate).toBe(trials[result.best.trial]!.params["training.learning_rate"]);
    expect(config.ray_tune.use_ray_tune).toBe(false);
    expect(config.training.checkpoint_dir).toBe("checkpoints");
  });

  it("stops trials early by default, and spends less on them", async () => {
    const { trials, maxSteps } = await studyIn(whole);
    const pruned = trials.filter(({ status }) => status === "pruned");
    expect(pruned.length).toBeGreaterThan(0);
    for (const { reports } of pruned) expect(reports.at(-1)!.step).toBeLessThan(maxSteps);
  });

  it("records each trial as a run nested under the sweep's, with state, summary and plots", async () => {
    const { trials, parentRunId } = await studyIn(whole);
    await using store = await openSqlStore({ path: join(whole, "runs", "tracking.sqlite") });
    const parent = await store.getRun(parentRunId!);
    expect(parent.info.status).toBe("FINISHED");
    for (const trial of trials) {
      const { info, data } = await store.getRun(trial.trackingRunId!);
      expect(data.tags).toContainEqual({ key: "mlflow.parentRunId", value: parentRunId });
      expect(data.tags).toContainEqual({ key: "tuning.status", value: trial.reason });
      expect(info.status).toBe(trial.status === "complete" ? "FINISHED" : "KILLED");
      const run = await latestRun(
        join(await studyDirectory(whole), "trials", String(trial.number).padStart(4, "0"), "runs"),
      );
      expect(run!.record.status).toBe(trial.status === "complete" ? "finished" : trial.reason);
      const stopReason = data.tags.find(({ key }) => key === "training.stop_reason")?.value;
      if (trial.status === "pruned") expect(stopReason).toBe("pruned");
      expect(info.experimentId).toBe(parent.info.experimentId);
      expect(data.params).toContainEqual({
        key: "training.learning_rate",
        value: String(trial.params["training.learning_rate"]),
      });
    }
    const artifacts = join(whole, "runs", "artifacts", parent.info.experimentId, parentRunId!, "artifacts");
    expect((await readdir(join(artifacts, "tuning"))).sort()).toEqual(
      [
        ...["history.png", "importance.png", "parallel_coordinates.png", "slices.png"],
        ...["state.json", "summary.json", "tuned_config.yaml"],
      ].sort(),
    );
    const state = JSON.parse(await readFile(join(artifacts, "tuning", "state.json"), "utf8")) as StudyState;
    expect(state.finished).toBe(true);
    expect(state.trials.map(({ status }) => status)).toEqual(trials.map(({ status }) => status));
    expect(await readdir(join(artifacts, "model"))).toContain("model.onnx");
  });
});

describe("cifar tune, killed with its trials", () => {
  it("starts a trial again whose process was killed, from its checkpoint", async () => {
    const { trials } = await studyIn(killed);
    expect(trials[0]!.losses).toBe(1);
    expect(trials[0]!.attempts).toBeGreaterThan(1);
  });

  it("leaves no process behind", async () => {
    for (let waited = 0; trialPids.some(isAlive) && waited < 10_000; waited += 200) await sleep(200);
    expect(trialPids.filter(isAlive)).toEqual([]);
  });

  it("goes on where it was: finished trials are not run again, nor epochs", async () => {
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(finalAtKill).toContain(0);
    const after = studyEvents(resumed.stdout);
    const restarted = after.flatMap((event) => (event.type === "started" ? [event.trial] : []));
    expect(restarted).toContain(interrupted);
    for (const number of finalAtKill) expect(restarted).not.toContain(number);
    const { trials } = await studyIn(killed);
    await using store = await openSqlStore({ path: join(killed, "runs", "tracking.sqlite") });
    const { data } = await store.getRun(trials[interrupted]!.trackingRunId!);
    const from = data.tags.find(({ key }) => key === "training.resumed_from_step");
    const stepsPerEpoch = 360 / 32;
    expect(Number(from?.value)).toBeGreaterThanOrEqual(Math.floor(2 * stepsPerEpoch));
  });

  it("ends with the very numbers of the sweep that was not killed", async () => {
    const [a, b] = [await studyIn(whole), await studyIn(killed)];
    const essence = ({ trials }: Study) => trials.map(({ params, status, reports }) => ({ params, status, reports }));
    expect(essence(b)).toEqual(essence(a));
    expect(b.finished?.best).toBe(a.finished?.best);
  });

  it("refuses to resume a finished study, and one that is not there", async () => {
    const again = await runCli(["tune", "--resume", "last"], { cwd: killed });
    expect(again.code).toBe(2);
    expect(again.stderr).toContain("is finished");
    const other = await runCli(["tune", "--resume", "study_x"], { cwd: killed });
    expect(other.code).toBe(2);
    expect(other.stderr).toContain("there is no study study_x");
  });
});
