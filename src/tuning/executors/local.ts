import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { PipelineError } from "../../base/errors.ts";
import { availableCores } from "../../base/machine-limits.ts";
import { workerUrl } from "../../base/worker-url.ts";
import type { JobEnd, RunningJob, TrialExecutor, TrialJob } from "./executor.ts";

export interface LocalExecutorOptions {
  /** Most trials at once; default as many as the cores allow. */
  readonly maxConcurrent?: number | undefined;
  /** The program of a trial; default the one of this package. */
  readonly command?: readonly string[];
  readonly cores?: number;
}

const killAfterMs = 30_000;

/**
 * Trials as child processes. A child whose tuner dies notices the end of its input, saves and ends; a later tuner kills
 * what is left all the same before it starts the trial again, so that no trial runs twice.
 */
export function localExecutor(options: LocalExecutorOptions = {}): TrialExecutor {
  const { maxConcurrent, cores = availableCores() } = options;
  const command = options.command ?? [process.execPath, fileURLToPath(workerUrl("workers/trial-process"))];
  const running = new Set<RunningJob>();
  return {
    name: "local",
    async slots({ cpu, gpu }) {
      const byCores = Math.floor(cores / cpu);
      if (byCores < 1) {
        throw new PipelineError("TUNING_FAILED", `a trial wants ${cpu} cores, this machine has ${cores}`, {
          remedy: `set ray_tune.resources_per_trial.cpu to at most ${cores}`,
          details: { cpu, cores },
        });
      }
      // One GPU, shared by as many trials as their shares allow.
      const byGpu = gpu > 0 ? Math.max(1, Math.floor(1 / gpu)) : Number.POSITIVE_INFINITY;
      return Math.min(byCores, byGpu, maxConcurrent ?? Number.POSITIVE_INFINITY);
    },
    async start(job) {
      const started = startProcess(command, job);
      running.add(started);
      void started.ended.then(() => running.delete(started));
      return started;
    },
    async recover(handle, job) {
      const pid = Number(handle.replace(/^pid:/, ""));
      if (await isProcessOf(pid, job.specFile)) await endProcess(pid, job.specFile);
      return undefined;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...running].map((job) => job.stop("save")));
    },
  };
}

function startProcess(command: readonly string[], { specFile, id }: TrialJob): RunningJob {
  // Beside the specification: what went wrong in there, for people.
  const errors = openSync(join(dirname(specFile), `${id}.log`), "a");
  let child: ChildProcess;
  try {
    child = spawn(command[0]!, [...command.slice(1), specFile, "--owner"], { stdio: ["pipe", "pipe", errors] });
  } finally {
    closeSync(errors);
  }
  const ended = new Promise<JobEnd>((resolve) => {
    child.once("error", (error) => resolve({ detail: `the process could not be started: ${error.message}` }));
    child.once("close", (code, signal) =>
      resolve({
        detail: signal === null ? `the process ended with code ${code}` : `the process was ended by ${signal}`,
      }),
    );
  });
  // A process that is gone takes no commands, which is what the command wanted.
  child.stdin!.on("error", () => undefined);
  return {
    handle: `pid:${child.pid ?? 0}`,
    lines: createInterface({ input: child.stdout!, crlfDelay: Number.POSITIVE_INFINITY }),
    ended,
    async stop(how) {
      if (how === "kill") child.kill("SIGKILL");
      // The end of its input tells it to save and end.
      else child.stdin!.end();
      const timer = setTimeout(() => child.kill("SIGKILL"), killAfterMs);
      await ended;
      clearTimeout(timer);
    },
  };
}

/** Whether that process runs this very trial: numbers of processes are used again. */
async function isProcessOf(pid: number, specFile: string): Promise<boolean> {
  if (!Number.isInteger(pid) || pid < 2) return false;
  try {
    return (await readFile(`/proc/${pid}/cmdline`, "utf8")).split("\0").includes(specFile);
  } catch {
    // No such process, or no /proc: there the trial's own lock keeps a second process off.
    return false;
  }
}

async function endProcess(pid: number, specFile: string): Promise<void> {
  for (const [signal, waitMs] of [
    ["SIGTERM", 10_000],
    ["SIGKILL", 5000],
  ] as const) {
    try {
      process.kill(pid, signal);
    } catch {
      return;
    }
    for (let waited = 0; waited < waitMs; waited += 100) {
      if (!(await isProcessOf(pid, specFile))) return;
      await sleep(100);
    }
  }
}
