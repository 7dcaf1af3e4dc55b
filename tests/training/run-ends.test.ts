import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished, vi } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import type { ExperimentEvent, TrainingOutcome } from "../../src/experiments/events.ts";
import { runExperiment } from "../../src/experiments/experiment.ts";
import { findRun } from "../../src/experiments/run-folder.ts";
import { openSqlStore } from "../../src/tracking/sql/store.ts";

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
  const start = (signal: AbortSignal, resume?: Awaited<ReturnType<typeof findRun>>) =>
    runExperiment({ config, resolved, signal, resume, sourceName: "test", env: {} });
  const ended = async () => {
    const run = await findRun(join(config.training.checkpoint_dir, "runs"), "last");
    const record = JSON.parse(await readFile(join(run.directory, "run.json"), "utf8"));
    await using store = await openSqlStore({ path: join(root, "tracking.sqlite") });
    const { info, data } = await store.getRun(record.trackingRunId);
    return { run, record: record.status, tracking: info.status, data };
  };
  return { start, ended };
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

it("a consumer that stops pulling stops the run: interrupted and KILLED, and it can be resumed", async () => {
  const { start, ended } = await workspace();
  const experiment = start(new AbortController().signal);
  await pull(experiment, ({ type }) => type === "step");
  await experiment.return(undefined as never);
  expect(await ended()).toMatchObject({ record: "interrupted", tracking: "KILLED" });
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
  expect({ record, tracking }).toEqual({ record: "interrupted", tracking: "KILLED" });
  const resumed = await pull(start(new AbortController().signal, run), () => false);
  expect(resumed).toMatchObject({ globalStep: 22 });
  await expect(ended()).rejects.toMatchObject({ code: "RESUME_REFUSED" });
});
