import type { RunningJob, TrialExecutor, TrialJob } from "../../src/tuning/executors/executor.ts";
import { formatTrialMessage, type TrialMessage } from "../../src/tuning/trial-message.ts";

export interface ScriptedAttempt {
  readonly job: TrialJob;
  readonly trial: number;
  readonly attempt: number;
  readonly until: number;
  readonly say: (message: TrialMessage) => void;
  /** Resolves when the attempt is told to stop. */
  readonly stopped: Promise<"save" | "kill">;
}

/** Plays the trials: the script says what each attempt says, and the attempt ends when the script does. */
export function scriptedExecutor(
  script: (attempt: ScriptedAttempt) => Promise<void>,
  { slots = 1, untils }: { readonly slots?: number; readonly untils: ReadonlyMap<string, number> },
): TrialExecutor & { readonly started: readonly string[] } {
  const started: string[] = [];
  return {
    name: "scripted",
    started,
    slots: async () => slots,
    recover: async () => undefined,
    async start(job) {
      started.push(job.id);
      return play(job, script, untils.get(job.id)!);
    },
    async [Symbol.asyncDispose]() {},
  };
}

function play(job: TrialJob, script: (attempt: ScriptedAttempt) => Promise<void>, until: number): RunningJob {
  const lines: string[] = [];
  let over = false;
  let wake = (): void => undefined;
  let stop: (how: "save" | "kill") => void = () => undefined;
  const stopped = new Promise<"save" | "kill">((resolve) => {
    stop = resolve;
  });
  const [trial = 0, attempt = 0] = job.id.replace("trial-", "").split("-").map(Number);
  const say = (message: TrialMessage): void => {
    lines.push(formatTrialMessage(message));
    wake();
  };
  const ended = script({ job, trial, attempt, until, say, stopped }).then(() => {
    over = true;
    wake();
    return { detail: "the script is over" };
  });
  return {
    handle: job.id,
    ended,
    lines: (async function* () {
      for (;;) {
        const line = lines.shift();
        if (line !== undefined) yield line;
        else if (over) return;
        else
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
    })(),
    async stop(how) {
      stop(how);
      await ended;
    },
  };
}
