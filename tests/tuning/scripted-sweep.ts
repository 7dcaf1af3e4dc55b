import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { createJournal, openJournal } from "../../src/tuning/journal.ts";
import { noPruner } from "../../src/tuning/pruners/pruner.ts";
import { randomSampler } from "../../src/tuning/samplers/random.ts";
import { createSpace, type Space, uniform } from "../../src/tuning/space.ts";
import type { StudyHead } from "../../src/tuning/study-event.ts";
import { type SweepEnd, type TunerEvent, type TunerOptions, tune } from "../../src/tuning/tuner.ts";
import { type ScriptedAttempt, scriptedExecutor } from "./scripted-executor.ts";

export function studyHead(space: Space): StudyHead {
  return {
    ...{ type: "study", formatVersion: 1, studyId: "study_1", at: 0, metric: "val_accuracy", direction: "maximize" },
    ...{ space, sampler: "random", pruner: "none", maxSteps: 4 },
  } as StudyHead;
}

/** Reports one value a step, up to where it halts. */
export const wholesome =
  (value: (attempt: ScriptedAttempt, step: number) => number) =>
  async (attempt: ScriptedAttempt): Promise<void> => {
    const { until, say, stopped } = attempt;
    for (let step = 1; step <= until; step++) {
      say({ type: "report", step, metrics: { val_accuracy: value(attempt, step) }, flops: step * 100 });
      // What is judged at this step is told before the next one.
      const told = await Promise.race([stopped.then(() => true), settle().then(() => false)]);
      if (told) return say({ type: "result", outcome: "stopped", step });
    }
    if (until < 4) say({ type: "result", outcome: "paused", step: until });
    else say({ type: "result", outcome: "complete", step: until, bundle: `/bundles/${attempt.trial}` });
  };

/** Long enough for a report to be written and judged. */
export function settle(): Promise<unknown> {
  return new Promise((resolve) => setTimeout(resolve, 60));
}

/** A folder that is gone after the test. */
export async function studyFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "tuner-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return join(folder, "study");
}

/** A sweep whose trials the script plays; in a folder that has a study already it goes on with that. */
export async function sweep(
  script: (attempt: ScriptedAttempt) => Promise<void>,
  options: Partial<TunerOptions> & {
    readonly directory?: string;
    readonly slots?: number;
    readonly space?: Space;
  } = {},
) {
  const { directory = await studyFolder(), slots = 1, space = createSpace({ x: uniform(0, 1) }), ...rest } = options;
  await using journal = await openJournal(directory).catch(() => createJournal(directory, studyHead(space)));
  await journal.append({ type: "session", at: Date.now() });
  const untils = new Map<string, number>();
  const executor = scriptedExecutor(script, { slots, untils });
  const events: TunerEvent[] = [];
  const running = tune({
    ...{ journal, executor, sampler: randomSampler, pruner: noPruner, budget: { trials: 4 } },
    ...{ resources: { cpu: 1, gpu: 0 }, seed: 1, maxLosses: 1, heartbeatTimeoutMs: 60_000 },
    specFile: (jobId) => jobId,
    prepare: async ({ jobId, until }) => void untils.set(jobId, until),
    signal: new AbortController().signal,
    ...rest,
  });
  let end: SweepEnd | undefined;
  while (end === undefined) {
    const next = await running.next();
    if (next.done) end = next.value;
    else events.push(next.value);
  }
  return { end, study: journal.study, events, directory, started: executor.started };
}
