import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { PipelineError } from "../base/errors.ts";
import { workerUrl } from "../base/worker-url.ts";
import type { RankStart } from "./rank-place.ts";

/** How long the end waits for a thread that was told to stop; it may also be waiting for others that are lost. */
const patienceMs = 3000;

/** A process's part in a distributed training, in a thread of its own. */
export interface RunningRank extends AsyncDisposable {
  /** When it has done its part. @throws TRAINING_WORKER_FAILED, when it could not */
  readonly done: Promise<void>;
}

export function startRank(start: RankStart): RunningRank {
  const worker = new Worker(workerUrl("workers/rank-worker"), { workerData: start, name: `rank ${start.join.rank}` });
  let message = "";
  const done = new Promise<void>((resolve, reject) => {
    const fail = (why: string, cause?: unknown): void => {
      reject(new PipelineError("TRAINING_WORKER_FAILED", `rank ${start.join.rank} stopped: ${why}`, { cause }));
    };
    worker.on("message", (failure: string) => {
      message = failure;
    });
    worker.on("error", (error) => fail(error.message, error));
    worker.on("exit", (code) => {
      if (message !== "") fail(message);
      else if (code !== 0) fail(`its thread ended with code ${code}`);
      else resolve();
    });
  });
  // It may fail before anybody waits for it.
  done.catch(() => undefined);
  return {
    done,
    async [Symbol.asyncDispose]() {
      // A thread that is ended inside ONNX Runtime takes the whole process with it: it gets the time to end by itself.
      const ended = done.catch(() => undefined);
      await Promise.race([ended, sleep(patienceMs, undefined, { ref: false })]);
      await worker.terminate();
    },
  };
}
