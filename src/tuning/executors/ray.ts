import { setTimeout as sleep } from "node:timers/promises";
import { isPipelineError, PipelineError } from "../../base/errors.ts";
import { briefly, type ClusterProgram, entrypoint, lookAt, uploadProgram } from "../../ray/program-jobs.ts";
import { RayClient } from "../../ray/ray-client.ts";
import { formatTrialMessage } from "../trial-message.ts";
import type { JobEnd, RunningJob, TrialExecutor, TrialResources } from "./executor.ts";

export interface RayExecutorOptions extends ClusterProgram {
  readonly address: string;
  readonly token?: string | undefined;
  /** Makes the jobs' names unique in the cluster. */
  readonly studyId: string;
  /** Environment variables of the jobs. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Most trials at once; default as many as the cluster has room for. */
  readonly maxConcurrent?: number | undefined;
  readonly pollMs?: number | undefined;
}

/** In the package. */
const trialProgram = "dist/workers/trial-process.js";
/** Looks at a job that fail for so long make it a lost one. */
const unreachableMs = 60_000;
/** Ray ends a job by force when it has not saved and ended within this time. */
const stopSeconds = 30;

/**
 * Trials as jobs of a Ray cluster, by its REST API. Ray does not start a lost job again: the tuner does, and the trial
 * goes on from its checkpoint, so the study's folder has to lie on storage that all nodes share. Jobs outlive their
 * tuner; the next one listens to them again.
 */
export function rayExecutor(options: RayExecutorOptions): TrialExecutor {
  const { address, token, studyId, nodeModules, nodeCommand, environment, maxConcurrent, pollMs = 1000 } = options;
  const client = new RayClient({ address, token });
  let uploaded: Promise<string> | undefined;
  return {
    name: `ray ${address}`,
    async slots({ cpu, gpu }) {
      const nodes = await client.nodes();
      const room = nodes.reduce((sum, { CPU = 0, GPU = 0 }) => {
        const byGpu = gpu > 0 ? Math.floor(GPU / gpu) : Number.POSITIVE_INFINITY;
        return sum + Math.min(Math.floor(CPU / cpu), byGpu);
      }, 0);
      if (room < 1) throw noRoom(nodes, { cpu, gpu });
      return Math.min(room, maxConcurrent ?? Number.POSITIVE_INFINITY);
    },
    async start({ id, specFile, resources }) {
      uploaded ??= uploadProgram(client);
      const workingDirectory = await uploaded;
      const submissionId = `${studyId}-${id}`;
      // The tuner may have been killed between submitting and noting it: that very job is followed then.
      if ((await client.job(submissionId)) !== undefined) return follow(client, submissionId, pollMs);
      await client.submit({
        entrypoint: entrypoint({ program: trialProgram, args: [specFile], nodeModules, nodeCommand }),
        submission_id: submissionId,
        runtime_env: {
          working_dir: workingDirectory,
          env_vars: { ...environment, RAY_JOB_STOP_WAIT_TIME_S: String(stopSeconds) },
        },
        metadata: { "cifar.study": studyId, "cifar.trial": id },
        entrypoint_num_cpus: resources.cpu,
        entrypoint_num_gpus: resources.gpu,
      });
      return follow(client, submissionId, pollMs);
    },
    async recover(handle) {
      const submissionId = handle.replace(/^ray:/, "");
      const job = handle.startsWith("ray:") ? await client.job(submissionId) : undefined;
      return job === undefined ? undefined : follow(client, submissionId, pollMs);
    },
    // Jobs are the cluster's: whoever wants them ended stops them.
    async [Symbol.asyncDispose]() {},
  };
}

/** Listens to a job until it is over: its log by WebSocket, its status by looking now and then. */
function follow(client: RayClient, id: string, pollMs: number): RunningJob {
  const lines = lineBuffer();
  const over = new AbortController();
  const tail = async (): Promise<void> => {
    while (!over.signal.aborted) {
      // Each tail begins with the first character of the log.
      let position = 0;
      const take = (text: string): void => {
        lines.take(text, position);
        position += text.length;
      };
      await client.tail(id, take, over.signal);
      await sleep(pollMs, undefined, { signal: over.signal }).catch(() => undefined);
    }
  };
  const watch = async (): Promise<JobEnd> => {
    let seen = Date.now();
    for (;;) {
      const job = await lookAt(client, id);
      if (over.signal.aborted) return { detail: `Ray job ${id} did not answer and was given up` };
      if (job === "unreachable" || job === undefined) {
        const silent = Date.now() - seen;
        if (job === undefined || silent > unreachableMs)
          return { detail: `Ray job ${id} is gone${job === undefined ? "" : ": the cluster can't be reached"}` };
      } else {
        seen = Date.now();
        if (job.status === "PENDING") lines.add(formatTrialMessage({ type: "heartbeat" }));
        else if (job.status !== "RUNNING") {
          const whole = await client.logs(id).catch(() => undefined);
          if (whole !== undefined) lines.take(whole, 0);
          return { detail: `Ray job ${id} ${job.status}: ${briefly(job.message ?? "")}` };
        }
      }
      await sleep(pollMs, undefined, { signal: over.signal }).catch(() => undefined);
    }
  };
  const ended = watch().finally(() => {
    over.abort();
    lines.end();
  });
  void tail();
  return {
    handle: `ray:${id}`,
    lines: lines.read(),
    ended,
    async stop(how) {
      await client.stop(id).catch((error: unknown) => {
        // A cluster that can't be reached has lost the job anyway, or is found again later.
        if (!isPipelineError(error, "RAY_FAILED")) throw error;
      });
      if (how === "kill") over.abort();
      await ended;
    },
  };
}

/** The lines of a log that is read again and again from its beginning. */
function lineBuffer() {
  const ready: string[] = [];
  let known = 0;
  let rest = "";
  let over = false;
  let wake: () => void = () => undefined;
  return {
    /** A piece of the log that begins at `position`: what is known of it is left out. */
    take(text: string, position: number): void {
      const fresh = text.slice(Math.max(0, known - position));
      if (position + text.length <= known) return;
      known = position + text.length;
      const parts = (rest + fresh).split("\n");
      rest = parts.pop() ?? "";
      ready.push(...parts);
      wake();
    },
    /** A line that is not in the log. */
    add(line: string): void {
      ready.push(line);
      wake();
    },
    end(): void {
      if (rest !== "") ready.push(rest);
      rest = "";
      over = true;
      wake();
    },
    async *read(): AsyncGenerator<string> {
      for (;;) {
        const line = ready.shift();
        if (line !== undefined) yield line;
        else if (over) return;
        else
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
    },
  };
}

function noRoom(nodes: readonly Readonly<Record<string, number>>[], { cpu, gpu }: TrialResources): PipelineError {
  const has = nodes.map(({ CPU = 0, GPU = 0 }) => `${CPU} CPUs${GPU > 0 ? ` and ${GPU} GPUs` : ""}`).join(", ");
  return new PipelineError(
    "TUNING_FAILED",
    `a trial wants ${cpu} CPUs${gpu > 0 ? ` and ${gpu} GPUs` : ""} on one node; the cluster's nodes have ${has || "nothing"}`,
    { remedy: "lower ray_tune.resources_per_trial, or add nodes", details: { nodes, cpu, gpu } },
  );
}
