import type { ChildProcess } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished, vi } from "vitest";
import { PipelineError } from "../../src/base/errors.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { ExperimentEvent, TrainingOutcome } from "../../src/experiments/events.ts";
import { type ExperimentOptions, runExperiment } from "../../src/experiments/experiment.ts";
import { findRun, listRuns, type RunFolder } from "../../src/experiments/run-folder.ts";
import { openRunTracking } from "../../src/experiments/run-tracking.ts";
import type { RunTarget } from "../../src/tracking/run-target.ts";
import { openSqlStore } from "../../src/tracking/sql/store.ts";
import { startCli } from "../cli/run-cli.ts";

// How a run ends is told by its outcome, by run.json and by the tracking store: all three the same.
vi.setConfig({ testTimeout: 120_000 });

const small = [
  ...["dataset.source=synthetic", "dataset.limit=200", "model.name=airbench", "model.width=0.125"],
  ...["model.airbench.whitening_samples=100", "training.batch_size=16", "training.num_epochs=2", "training.seed=7"],
  // One image at a time: the signal comes well before the end of the evaluation.
  ...["evaluation.batch_size=1", "mlflow.step_interval=1"],
];

async function workspace() {
  const root = await mkdtemp(join(tmpdir(), "run-ends-"));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
  const places = [`training.checkpoint_dir=${root}/checkpoints`, `mlflow.tracking_uri=${root}/tracking.sqlite`];
  const { config, resolved } = loadConfig({ overrides: [...small, ...places], env: {} });
  const start = (signal: AbortSignal, resume?: RunFolder, more: Partial<ExperimentOptions> = {}) =>
    runExperiment({ config, resolved, signal, resume, sourceName: "test", env: {}, ...more });
  const ended = async () => {
    const run = await findRun(join(config.training.checkpoint_dir, "runs"), "last");
    const record = JSON.parse(await readFile(join(run.directory, "run.json"), "utf8"));
    await using store = await openSqlStore({ path: join(root, "tracking.sqlite") });
    const { info, data } = await store.getRun(record.trackingRunId);
    return { run, record: record.status, tracking: info.status, data };
  };
  return { root, config, start, ended };
}

/** Pulls until the end, or until `until` says that it has seen enough. */
async function pull(
  experiment: AsyncGenerator<ExperimentEvent, TrainingOutcome>,
  until: (event: ExperimentEvent) => boolean,
): Promise<TrainingOutcome | undefined> {
  for (;;) {
    const next = await experiment.next();
    if (next.done) return next.value;
    if (until(next.value)) return undefined;
  }
}

it("a consumer that stops pulling stops the run: stopped and KILLED, and it can be resumed", async () => {
  const { start, ended } = await workspace();
  const experiment = start(new AbortController().signal);
  await pull(experiment, ({ type }) => type === "step");
  await experiment.return(undefined as never);
  expect(await ended()).toMatchObject({ record: "stopped", tracking: "KILLED" });
});

it("stopped in its last evaluation a run tells the steps that it did, and resumed evaluates at that epoch", async () => {
  const { start, ended } = await workspace();
  const stop = new AbortController();
  const outcome = await pull(start(stop.signal), ({ type }) => {
    if (type === "stop") stop.abort("the night is over");
    return false;
  });
  const { run, record, tracking, data } = await ended();
  expect(data.tags).toContainEqual({ key: "training.stop_reason", value: "the night is over" });
  // 180 images are 22 steps of 16 in two epochs. Where the evaluation was faster than the signal, the run has finished.
  expect(outcome).toMatchObject({ globalStep: 22, epochs: 2, reason: "aborted" });
  expect({ record, tracking }).toEqual({ record: "stopped", tracking: "KILLED" });
  const resumed = await pull(start(new AbortController().signal, run), () => false);
  expect(resumed).toMatchObject({ globalStep: 22 });
  await expect(ended()).rejects.toMatchObject({ code: "RESUME_REFUSED" });
});

it("killed it says that it runs until the next training, which tells its end and leaves a run that is trained alone", async () => {
  const { root, config, start } = await workspace();
  const places = [`training.checkpoint_dir=${root}/checkpoints`, `mlflow.tracking_uri=${root}/tracking.sqlite`];
  const train = (onStep: (child: ChildProcess) => void) =>
    startCli(["train", "--json", ...[...small, ...places].flatMap((setting) => ["--set", setting])], {
      cwd: root,
      onLine: (line, child) => {
        if (line.includes('"type":"step"')) onStep(child);
      },
    }).ended;
  await train((child) => child.kill("SIGKILL"));
  const runs = join(config.training.checkpoint_dir, "runs");
  const [killed] = await listRuns(runs);
  expect(killed!.record.status).toBe("running");

  // A run that goes on beside: it is not killed.
  const beside = start(new AbortController().signal);
  await pull(beside, ({ type }) => type === "step");
  await using store = await openSqlStore({ path: join(root, "tracking.sqlite") });
  const tracked = async ({ record }: RunFolder) => {
    const { info, data } = await store.getRun(record.trackingRunId!);
    return [info.status, data.tags.find(({ key }) => key === "training.stop_reason")?.value];
  };
  const said = await readFile(join(killed!.directory, "run.json"), "utf8");
  expect(JSON.parse(said).status).toBe("killed");
  expect(await tracked(killed!)).toEqual(["KILLED", "killed"]);

  const third = start(new AbortController().signal);
  await pull(third, ({ type }) => type === "step");
  const other = (await listRuns(runs)).find(({ record }) => record.status === "running")!;
  expect(await tracked(other)).toEqual(["RUNNING", undefined]);
  await Promise.all([beside.return(undefined as never), third.return(undefined as never)]);
  expect((await listRuns(runs)).map(({ record }) => record.status)).toEqual(["stopped", "stopped", "killed"]);

  // And it can still be gone on with.
  const resumed = await pull(
    start(new AbortController().signal, await findRun(runs, killed!.record.runId)),
    () => false,
  );
  expect(resumed).toMatchObject({ reason: "completed" });
  expect((await tracked(killed!))[0]).toBe("FINISHED");
});

it("untold where the tracking store can't be written to, and told by the next training", async () => {
  const { root, config, start } = await workspace();
  const fullAtTheEnd: ExperimentOptions["openTracking"] = async (options) => {
    const tracking = await openRunTracking(options);
    const refuse = () => Promise.reject(new PipelineError("STORAGE_FAILED", "the disk is full"));
    const target = Object.create(tracking.target, { update: { value: refuse } }) as RunTarget;
    const { store, knownRun, settled, drain } = tracking;
    return { target, store, knownRun, settled, drain, [Symbol.asyncDispose]: () => tracking[Symbol.asyncDispose]() };
  };
  const experiment = start(new AbortController().signal, undefined, { openTracking: fullAtTheEnd });
  await pull(experiment, ({ type }) => type === "step");
  await experiment.return(undefined as never);
  const runs = join(config.training.checkpoint_dir, "runs");
  const [untold] = await listRuns(runs);
  expect(untold!.record).toMatchObject({ status: "stopped", isEndUntold: true });
  await using store = await openSqlStore({ path: join(root, "tracking.sqlite") });
  const tracked = async () => (await store.getRun(untold!.record.trackingRunId!)).info.status;
  expect(await tracked()).toBe("RUNNING");

  const next = start(new AbortController().signal);
  await pull(next, ({ type }) => type === "step");
  await next.return(undefined as never);
  expect(await tracked()).toBe("KILLED");
  expect((await listRuns(runs)).at(-1)!.record.isEndUntold).toBeUndefined();
});
