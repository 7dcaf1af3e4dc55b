import { Worker } from "node:worker_threads";
import { PipelineError } from "../base/errors.ts";
import { workerUrl } from "../base/worker-url.ts";
import type { ImageSplit } from "./dataset.ts";

/** What a gather thread is started with: the split in shared memory. */
export interface GatherWorkerData {
  readonly split: ImageSplit;
}

export interface GatherJob {
  readonly ticket: number;
  readonly indices: Int32Array;
}

export interface GatherReply {
  readonly ticket: number;
  readonly images: Uint8Array<ArrayBuffer>;
}

export interface GatherPool extends AsyncDisposable {
  /** Requests of one epoch; what has not been taken when it is disposed is dropped. */
  open(): GatherRequests;
}

export interface GatherRequests extends Disposable {
  /** Begins to assemble the images of a step. */
  ask(step: number, indices: Int32Array): void;
  /** The images of a step asked for before. @throws DATA_WORKER_FAILED */
  take(step: number): Promise<Uint8Array>;
}

/**
 * Threads that copy images out of a split while the caller's thread is busy: the caller computes on its own thread
 * without a pause, so prefetching needs others. Replies wait in the message queue and are moved, not copied.
 */
export function startGatherPool({ split, numWorkers }: { split: ImageSplit; numWorkers: number }): GatherPool {
  const workerData: GatherWorkerData = { split: shared(split) };
  const workers = Array.from(
    { length: numWorkers },
    () => new Worker(workerUrl("workers/gather-worker"), { workerData }),
  );
  const waiting = new Map<number, PromiseWithResolvers<Uint8Array>>();
  let failure: PipelineError | undefined;
  let nextTicket = 0;

  const fail = (cause: unknown): void => {
    failure ??= new PipelineError("DATA_WORKER_FAILED", `a loader thread stopped: ${messageOf(cause)}`, {
      remedy: "set dataset.num_workers to 0 to prepare batches on the training thread",
      cause,
    });
    for (const { reject } of waiting.values()) reject(failure);
    waiting.clear();
  };
  for (const worker of workers) {
    worker.on("message", ({ ticket, images }: GatherReply) => {
      waiting.get(ticket)?.resolve(images);
    });
    worker.on("error", fail);
    worker.on("messageerror", fail);
    worker.on("exit", (code) => fail(new Error(`exit code ${code}`)));
  }

  return {
    open() {
      const tickets = new Map<number, number>();
      return {
        ask(step, indices) {
          if (failure !== undefined) throw failure;
          const ticket = nextTicket++;
          const result = withResolvers<Uint8Array>();
          // A failure is thrown by `take`; until then nobody may be listening.
          result.promise.catch(() => undefined);
          waiting.set(ticket, result);
          tickets.set(step, ticket);
          const job: GatherJob = { ticket, indices };
          workers[ticket % numWorkers]!.postMessage(job);
        },
        async take(step) {
          const ticket = tickets.get(step);
          const result = ticket === undefined ? undefined : waiting.get(ticket);
          if (ticket === undefined || result === undefined) {
            throw failure ?? new PipelineError("INVALID_ARGUMENT", `step ${step} was not asked for`);
          }
          const images = await result.promise;
          waiting.delete(ticket);
          tickets.delete(step);
          return images;
        },
        [Symbol.dispose]() {
          for (const ticket of tickets.values()) waiting.delete(ticket);
        },
      };
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(workers.map((worker) => worker.terminate()));
    },
  };
}

interface PromiseWithResolvers<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
}

function withResolvers<T>(): PromiseWithResolvers<T> {
  let resolve!: (value: T) => void;
  let reject!: (reason: unknown) => void;
  const promise = new Promise<T>((accept, refuse) => {
    resolve = accept;
    reject = refuse;
  });
  return { promise, resolve, reject };
}

/** The split in shared memory; a copy when it is not there already. */
function shared(split: ImageSplit): ImageSplit {
  if (split.images.buffer instanceof SharedArrayBuffer) return split;
  const images = new Uint8Array(new SharedArrayBuffer(split.images.length));
  images.set(split.images);
  return { ...split, images };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
