import { Worker } from "node:worker_threads";
import { restoreError } from "../base/error-transfer.ts";
import { PipelineError } from "../base/errors.ts";
import { workerUrl } from "../base/worker-url.ts";
import type { ExperimentEvent, TrainingOutcome } from "./events.ts";
import type { TrainingRequest } from "./training-request.ts";
import type { TrainingCommand, TrainingReply } from "./worker-protocol.ts";

/**
 * Runs an experiment in a thread of its own. When the signal aborts or the caller stops pulling, the training saves a
 * checkpoint and ends with the reason "aborted". The thread is never ended inside a step: ONNX Runtime would end the
 * whole process by an abort.
 * @throws what runTraining throws; TRAINING_WORKER_FAILED when the thread dies
 */
export async function* trainInWorker(
  request: TrainingRequest,
  signal: AbortSignal,
): AsyncGenerator<ExperimentEvent, TrainingOutcome> {
  const worker = new Worker(workerUrl("workers/training-worker"), { workerData: request, name: "training" });
  const replies: TrainingReply[] = [];
  let failure: Error | undefined;
  let wake = (): void => undefined;
  let isOver = false;
  worker.on("message", (reply: TrainingReply) => {
    isOver ||= reply.type !== "event";
    replies.push(reply);
    wake();
  });
  worker.on("error", (error: Error) => {
    failure = error;
    wake();
  });
  worker.on("exit", (code) => {
    failure ??= new Error(`the thread ended with code ${code}`);
    wake();
  });
  const abort = (): void => worker.postMessage({ type: "abort" } satisfies TrainingCommand);
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  try {
    for (;;) {
      const reply = replies.shift();
      if (reply === undefined) {
        if (failure !== undefined) throw workerFailed(failure);
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        continue;
      }
      switch (reply.type) {
        case "event":
          yield reply.event;
          break;
        case "finished":
          return reply.outcome;
        case "failed":
          throw restoreError(reply.error);
        default:
          reply satisfies never;
      }
    }
  } finally {
    signal.removeEventListener("abort", abort);
    if (!isOver) abort();
    while (!isOver && failure === undefined) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    await worker.terminate();
  }
}

function workerFailed(cause: Error): PipelineError {
  return new PipelineError("TRAINING_WORKER_FAILED", `the training thread stopped working: ${cause.message}`, {
    remedy: "see whether memory ran out; go on from the last checkpoint with --resume last",
    cause,
  });
}
