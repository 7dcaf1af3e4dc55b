import { appendFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { createJournal, openJournal, readStudy } from "../../src/tuning/journal.ts";
import { asha } from "../../src/tuning/pruners/asha.ts";
import { medianStopping } from "../../src/tuning/pruners/median.ts";
import { gridSampler } from "../../src/tuning/samplers/grid.ts";
import { studyState } from "../../src/tuning/summary.ts";
import { settle, studyHead, sweep, wholesome } from "./scripted-sweep.ts";

describe("tune", () => {
  it("runs so many trials to their end and keeps what they said", async () => {
    const { end, study, directory } = await sweep(wholesome(({ trial }, step) => trial + step / 10));
    expect(end).toBe("completed");
    expect(study.trials.map(({ status }) => status)).toEqual(["complete", "complete", "complete", "complete"]);
    expect(study.trials[2]!.reports.at(-1)).toEqual({ step: 4, value: 2.4 });
    expect(study.trials[2]!.bundle).toBe("/bundles/2");
    expect(studyState(study).best).toEqual({ trial: 3, value: 3.4 });
    expect(await readStudy(directory)).toEqual(study);
  });

  it("ends when the sampler has nothing left", async () => {
    const { end, study } = await sweep(
      wholesome(() => 1),
      {
        sampler: gridSampler({ points: 2 }),
        budget: { trials: 10 },
      },
    );
    expect(end).toBe("exhausted");
    expect(study.trials.map(({ params }) => params)).toEqual([{ x: 0 }, { x: 1 }]);
  });

  it("stops a trial that the scheduler gives up", async () => {
    const { study } = await sweep(
      wholesome(({ trial }) => -trial),
      { pruner: medianStopping({ startupTrials: 1, warmupSteps: 2 }) },
    );
    expect(study.trials.map(({ status, reason }) => reason ?? status)).toEqual([
      "complete",
      "pruned",
      "pruned",
      "pruned",
    ]);
    expect(study.trials[1]!.reports.length).toBeLessThan(4);
  });

  it("takes paused trials up again when they are promoted, without saying twice what is known", async () => {
    const { study, started, end } = await sweep(
      wholesome(({ trial }) => -trial),
      { pruner: asha({ gracePeriod: 1, reductionFactor: 2, mode: "promotion" }), budget: { trials: 4 } },
    );
    expect(end).toBe("completed");
    expect(study.trials.map(({ reports }) => reports.length)).toEqual([4, 2, 1, 1]);
    expect(study.trials.map(({ status }) => status)).toEqual(["complete", "paused", "paused", "paused"]);
    expect(started.filter((id) => id.startsWith("trial-0000"))).toHaveLength(3);
  });

  it("brings the best trial to its end where no other came there", async () => {
    const { study } = await sweep(
      wholesome(({ trial }) => -Math.abs(trial - 1)),
      { pruner: asha({ gracePeriod: 1, reductionFactor: 4, mode: "promotion" }), budget: { trials: 3 } },
    );
    expect(study.trials.map(({ status }) => status)).toEqual(["paused", "complete", "paused"]);
  });

  it("starts a lost trial again, and gives it up after so many losses", async () => {
    const flaky = wholesome(() => 1);
    const { study } = await sweep(async (attempt) => {
      if (attempt.trial === 0 && attempt.attempt === 1) return;
      if (attempt.trial === 1) return;
      await flaky(attempt);
    });
    expect(study.trials.map(({ status }) => status)).toEqual(["complete", "failed", "complete", "complete"]);
    expect(study.trials.map(({ attempts }) => attempts)).toEqual([2, 2, 1, 1]);
    expect(study.trials[1]!.error).toContain("the script is over");
  });

  it("kills a trial that gives no sign of life, and starts it again", async () => {
    const alive = wholesome(() => 1);
    let killed: string | undefined;
    const { study } = await sweep(
      async (attempt) => {
        if (attempt.trial === 0 && attempt.attempt === 1) {
          attempt.say({ type: "heartbeat" });
          killed = await attempt.stopped;
        } else await alive(attempt);
      },
      { heartbeatTimeoutMs: 700, budget: { trials: 1 } },
    );
    expect(killed).toBe("kill");
    expect(study.trials[0]).toMatchObject({ status: "complete", attempts: 2, losses: 1 });
  });

  it("calls a trial pruned whose numbers diverged, and failed that never logged the metric", async () => {
    const { study } = await sweep(async ({ trial, say }) => {
      if (trial === 0) say({ type: "result", outcome: "diverged", step: 0, error: "TRAINING_DIVERGED: the loss" });
      else if (trial === 1) {
        say({ type: "report", step: 1, metrics: { val_loss: 1, val_accuracy: null }, flops: 1 });
        say({ type: "result", outcome: "complete", step: 1 });
      } else {
        say({ type: "report", step: 4, metrics: { val_accuracy: 1 }, flops: 1 });
        say({ type: "result", outcome: "complete", step: 4 });
      }
    });
    expect(study.trials.map(({ status }) => status)).toEqual(["pruned", "failed", "complete", "complete"]);
    expect(study.trials[1]!.error).toBe("no value of val_accuracy was logged; there was val_accuracy, val_loss");
  });

  it("gives up when the first trials all fail", async () => {
    await expect(
      sweep(async ({ say }) => say({ type: "result", outcome: "failed", step: 0, error: "CONFIG_INVALID: no" })),
    ).rejects.toMatchObject({ code: "TUNING_FAILED", message: expect.stringContaining("CONFIG_INVALID: no") });
  });

  it("keeps to a budget of floating-point operations", async () => {
    const { end, study } = await sweep(
      wholesome(({ trial }) => trial),
      { budget: { trials: 100, flops: 900 } },
    );
    expect(end).toBe("budget");
    expect(study.trials.map(({ status }) => status)).toEqual(["complete", "complete", "pruned"]);
    expect(study.trials[2]).toMatchObject({ reason: "budget", flops: 100 });
  });

  it("keeps to a budget of time", async () => {
    const began = Date.now();
    const { end, study } = await sweep(
      wholesome(() => 1),
      { budget: { trials: 100_000, milliseconds: 1500 } },
    );
    expect(end).toBe("budget");
    expect(study.trials.length).toBeGreaterThan(1);
    expect(Date.now() - began).toBeLessThan(30_000);
  });

  it("refuses parameters before anything runs", async () => {
    const { study, started } = await sweep(
      wholesome(() => 1),
      {
        sampler: gridSampler({ points: 2 }),
        refuse: ({ x }) => (x === 0 ? "x can't be 0" : undefined),
      },
    );
    expect(study.trials[0]).toMatchObject({ status: "failed", error: "x can't be 0", attempts: 0 });
    expect(started).toEqual(["trial-0001-1"]);
  });

  it("lets trials save when it is aborted, and goes on with them later", async () => {
    const controller = new AbortController();
    const first = await sweep(
      async ({ say, stopped }) => {
        say({ type: "report", step: 1, metrics: { val_accuracy: 0.5 }, flops: 100 });
        await settle();
        controller.abort();
        expect(await stopped).toBe("save");
        say({ type: "result", outcome: "stopped", step: 1 });
      },
      { signal: controller.signal, budget: { trials: 1 } },
    );
    expect(first.end).toBe("interrupted");
    expect(first.study.trials[0]).toMatchObject({ status: "waiting", reason: "interrupted", losses: 0 });
    const second = await sweep(
      wholesome((_, step) => step),
      { directory: first.directory, budget: { trials: 1 } },
    );
    expect(second.started).toEqual(["trial-0000-2"]);
    expect(second.study.trials[0]!.reports).toEqual([
      { step: 1, value: 0.5 },
      { step: 2, value: 2 },
      { step: 3, value: 3 },
      { step: 4, value: 4 },
    ]);
  });

  it("runs as many trials at once as there are slots", async () => {
    let running = 0;
    let most = 0;
    await sweep(
      async ({ say }) => {
        running += 1;
        most = Math.max(most, running);
        // The last of the three has to start while the first one runs: on a busy machine that takes its time.
        await new Promise((resolve) => setTimeout(resolve, 1000));
        running -= 1;
        say({ type: "report", step: 4, metrics: { val_accuracy: 1 }, flops: 1 });
        say({ type: "result", outcome: "complete", step: 4 });
      },
      { slots: 3, budget: { trials: 4 } },
    );
    expect(most).toBe(3);
  });
});

describe("the journal", () => {
  it("cuts off half a line at its end, and refuses a damaged one before it", async () => {
    const { directory, study } = await sweep(
      wholesome(() => 1),
      { budget: { trials: 1 } },
    );
    const path = join(directory, "journal.jsonl");
    const whole = await readFile(path, "utf8");
    await appendFile(path, '{"type":"created","tri');
    {
      await using journal = await openJournal(directory);
      expect(journal.study).toEqual(study);
    }
    expect(await readFile(path, "utf8")).toBe(whole);
    await appendFile(path, 'nonsense\n{"type":"session","at":1}\n');
    await expect(openJournal(directory)).rejects.toMatchObject({ code: "STUDY_DAMAGED" });
    await nextTurn();
    await expect(createJournal(directory, studyHead(study.space))).rejects.toMatchObject({ code: "STUDY_EXISTS" });
    await expect(openJournal(join(directory, "none"))).rejects.toMatchObject({ code: "STUDY_NOT_FOUND" });
  });
});
