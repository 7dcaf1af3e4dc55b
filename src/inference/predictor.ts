import { Worker } from "node:worker_threads";
import { PipelineError } from "../base/errors.ts";
import { availableCores } from "../base/machine-limits.ts";
import { workerUrl } from "../base/worker-url.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { type FormName, type FormPlan, portablePlan } from "./forms/form-plan.ts";
import { type Preprocessing, requireImages } from "./preprocess.ts";
import type { InferenceJob, InferenceReply, InferenceWorkerData } from "./worker-protocol.ts";

/** ready: as it should be; degraded: it answers, but a part of it fails; down: it cannot answer now. */
export type Readiness = "ready" | "degraded" | "down";

export interface PredictOptions {
  readonly signal?: AbortSignal | undefined;
  /** The requests that the images came with: lines of the log about this run name them. */
  readonly requestIds?: readonly string[];
}

/** What a worker thread was at when there was something to tell of it. */
export interface WorkerMoment {
  readonly worker: string;
  /** Those of the run that it had in hand, if any; of what it writes, which may come late, also of its last run. */
  readonly requestIds: readonly string[];
}

/** Images in, logits out. */
export interface Predictor extends AsyncDisposable {
  readonly readiness: Readiness;
  /** The form of the network that runs a batch of so many images. */
  formOf(images: number): FormName;
  /**
   * @param images uint8 [N, 3, height, width] of the model's size; its memory moves to the model: it is empty afterwards
   * @returns float32 logits [N, classes]
   * @throws INFERENCE_FAILED, INFERENCE_UNAVAILABLE, SHUTTING_DOWN, or the signal's reason
   */
  predict(images: Tensor<"uint8">, options?: PredictOptions): Promise<Tensor<"float32">>;
}

export interface WorkerPredictorOptions {
  readonly modelPath: string;
  /** The quantised model, where the plan has it. */
  readonly int8Path?: string | undefined;
  /** Which form of the network runs which batch; default: model.onnx all of them. */
  readonly plan?: FormPlan | undefined;
  readonly preprocessing: Preprocessing;
  readonly classCount: number;
  /** Worker threads, each with its own copy of the model; see `splitCores` for the default. */
  readonly workers?: number;
  /** Threads inside one operator. */
  readonly threads?: number;
  readonly warmUpBatchSizes?: readonly number[];
  /** A job that runs longer than this is given up and its worker replaced; default 60 s. */
  readonly jobTimeoutMs?: number;
  /** First pause before a crashed worker is started again; doubles up to 30 s while it keeps crashing. Default 100 ms. */
  readonly restartDelayMs?: number;
  /** Told about each crash, for logs. */
  readonly onCrash?: (error: Error, moment: WorkerMoment) => void;
  /** Told what a worker's code writes to its standard output and error (warnings of Node.js), for logs. */
  readonly onOutput?: (text: string, moment: WorkerMoment) => void;
  /** The worker's compiled entry; default: the one that this package builds. */
  readonly worker?: URL;
}

const maxRestartDelayMs = 30_000;
/** After this many failures in a row of every worker, waiting jobs are refused instead of kept waiting. */
const patience = 3;

/** Workers and threads per worker for a machine: never more threads than cores, at most four copies of the model. */
export function splitCores(cores = availableCores()): { workers: number; threads: number } {
  const workers = Math.min(4, Math.max(1, Math.floor(cores / 2)));
  return { workers, threads: Math.max(1, Math.floor(cores / workers)) };
}

interface PendingJob {
  readonly id: number;
  readonly images: Tensor<"uint8">;
  readonly requestIds: readonly string[];
  readonly resolve: (logits: Tensor<"float32">) => void;
  readonly reject: (reason: unknown) => void;
}

type Slot =
  | { readonly state: "starting" | "ready"; readonly worker: Worker }
  | { readonly state: "busy"; readonly worker: Worker; readonly job: PendingJob; readonly timer: NodeJS.Timeout }
  | { readonly state: "waiting"; readonly timer: NodeJS.Timeout }
  | { readonly state: "stopped" };

/**
 * A pool of worker threads (a session's run blocks its thread). Resolves when every worker has loaded the model and
 * warmed up.
 * @throws INFERENCE_UNAVAILABLE when the model can't be loaded.
 */
export async function createWorkerPredictor(options: WorkerPredictorOptions): Promise<Predictor> {
  const pool = new WorkerPool(options);
  try {
    await pool.ready();
  } catch (error) {
    await pool[Symbol.asyncDispose]();
    throw error;
  }
  return pool;
}

class WorkerPool implements Predictor {
  readonly #options: WorkerPredictorOptions;
  readonly #data: InferenceWorkerData;
  readonly #slots: Slot[];
  readonly #failures: number[];
  /** Requests of the last run of each worker. */
  readonly #lastRequestIds: (readonly string[])[];
  #queue: PendingJob[] = [];
  #nextId = 1;
  #closing = false;
  readonly #started: PromiseWithResolversCompat<void>[];
  #drained: (() => void) | undefined;

  constructor(options: WorkerPredictorOptions) {
    const split = splitCores();
    const workers = options.workers ?? split.workers;
    const threads = options.threads ?? (options.workers === undefined ? split.threads : 1);
    for (const [name, value] of Object.entries({ workers, threads })) {
      if (!Number.isInteger(value) || value < 1 || value > 1024) {
        throw new PipelineError("INVALID_ARGUMENT", `${name} must be an integer from 1 to 1024, got ${value}`);
      }
    }
    this.#options = options;
    this.#data = {
      files: { portable: options.modelPath, int8: options.int8Path },
      plan: options.plan ?? portablePlan,
      preprocessing: options.preprocessing,
      classCount: options.classCount,
      threads,
      warmUpBatchSizes: options.warmUpBatchSizes ?? [1],
    };
    this.#failures = new Array<number>(workers).fill(0);
    this.#lastRequestIds = new Array<readonly string[]>(workers).fill([]);
    this.#started = Array.from({ length: workers }, () => deferred<void>());
    // `ready` awaits all of them; a failure of one before that must not count as unhandled.
    for (const { promise } of this.#started) promise.catch(() => undefined);
    this.#slots = Array.from({ length: workers }, () => ({ state: "stopped" }));
    for (let i = 0; i < workers; i++) this.#start(i);
  }

  async ready(): Promise<void> {
    await Promise.all(this.#started.map(({ promise }) => promise));
  }

  /**
   * A worker that failed `patience` times in a row counts as failing until it has answered a job: one that dies at
   * every job looks well in between.
   */
  get readiness(): Readiness {
    const serves = ({ state }: Slot) => state === "ready" || state === "busy";
    const fails = (index: number) => this.#failures[index]! >= patience;
    if (this.#slots.every((slot, i) => serves(slot) && !fails(i))) return "ready";
    return this.#slots.some((slot, i) => serves(slot) || (slot.state !== "stopped" && !fails(i))) ? "degraded" : "down";
  }

  formOf(images: number): FormName {
    const { variants, byCount } = this.#data.plan;
    return variants[byCount[images - 1] ?? 0]!.form;
  }

  predict(images: Tensor<"uint8">, { signal, requestIds = [] }: PredictOptions = {}): Promise<Tensor<"float32">> {
    return new Promise((resolve, reject) => {
      requireImages(images, this.#options.preprocessing);
      if (this.#closing) throw new PipelineError("SHUTTING_DOWN", "the predictor is shutting down");
      if (signal?.aborted) throw signal.reason;
      const onAbort = () => {
        this.#queue = this.#queue.filter((other) => other !== job);
        job.reject(signal?.reason);
      };
      const job: PendingJob = {
        id: this.#nextId++,
        images,
        requestIds,
        resolve: (logits) => {
          signal?.removeEventListener("abort", onAbort);
          resolve(logits);
        },
        reject: (reason) => {
          signal?.removeEventListener("abort", onAbort);
          reject(reason);
        },
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#queue.push(job);
      this.#dispatch();
    });
  }

  #start(index: number): void {
    const { onOutput } = this.#options;
    const isTold = onOutput !== undefined;
    const worker = new Worker(this.#options.worker ?? workerUrl("workers/inference-worker"), {
      workerData: this.#data,
      name: nameOf(index),
      stdout: isTold,
      stderr: isTold,
    });
    for (const output of isTold ? [worker.stdout, worker.stderr] : []) {
      output.on("data", (chunk: Buffer) => {
        const text = chunk.toString().trimEnd();
        if (text === "") return;
        onOutput?.(text, { worker: nameOf(index), requestIds: this.#lastRequestIds[index]! });
      });
    }
    this.#slots[index] = { state: "starting", worker };
    let cause: Error | undefined;
    worker.on("message", (reply: InferenceReply) => this.#onReply(index, worker, reply));
    worker.on("messageerror", (error) => {
      cause = error;
      void worker.terminate();
    });
    worker.on("error", (error: Error) => {
      cause = error;
    });
    worker.on("exit", (code) => {
      const slot = this.#slots[index]!;
      // A worker that was replaced or stopped on purpose.
      if (!("worker" in slot) || slot.worker !== worker) return;
      this.#onCrash(index, cause ?? new Error(`the inference worker exited with code ${code}`));
    });
  }

  #onReply(index: number, worker: Worker, reply: InferenceReply): void {
    const slot = this.#slots[index]!;
    if (!("worker" in slot) || slot.worker !== worker) {
      // It was given up, but has come out of its work: now it can be ended.
      void worker.terminate();
      return;
    }
    switch (reply.type) {
      case "ready":
        this.#slots[index] = { state: "ready", worker };
        this.#started[index]!.resolve();
        break;
      case "unusable":
        this.#stop(index);
        this.#onCrash(index, new Error(reply.message));
        break;
      case "result":
      case "failed": {
        if (slot.state !== "busy" || slot.job.id !== reply.id) return;
        clearTimeout(slot.timer);
        this.#slots[index] = { state: "ready", worker };
        this.#failures[index] = 0;
        if (reply.type === "failed") {
          slot.job.reject(
            new PipelineError("INFERENCE_FAILED", `inference failed: ${reply.message}`, { cause: errorOf(reply) }),
          );
        } else {
          const shape = [slot.job.images.shape[0]!, this.#options.classCount];
          slot.job.resolve(tensor("float32", shape, reply.logits));
        }
        break;
      }
      default:
        reply satisfies never;
    }
    this.#dispatch();
  }

  /** Rejects the worker's job and starts another worker after a pause. */
  #onCrash(index: number, cause: Error): void {
    const slot = this.#slots[index]!;
    const moment = { worker: nameOf(index), requestIds: slot.state === "busy" ? slot.job.requestIds : [] };
    if (slot.state === "busy") {
      clearTimeout(slot.timer);
      slot.job.reject(
        new PipelineError("INFERENCE_FAILED", `the inference worker crashed: ${cause.message}`, {
          remedy: "retry; the worker is being restarted",
          cause,
        }),
      );
    }
    this.#started[index]!.reject(this.#unavailable(cause));
    this.#slots[index] = { state: "stopped" };
    if (!this.#closing) {
      const failures = ++this.#failures[index]!;
      const delayMs = Math.min(maxRestartDelayMs, (this.#options.restartDelayMs ?? 100) * 2 ** (failures - 1));
      this.#slots[index] = { state: "waiting", timer: setTimeout(() => this.#start(index), delayMs) };
      this.#options.onCrash?.(cause, moment);
    }
    this.#dispatch(cause);
  }

  #dispatch(cause?: Error): void {
    for (const [index, slot] of this.#slots.entries()) {
      if (this.#queue.length === 0) break;
      if (slot.state === "ready") this.#send(index, slot.worker, this.#queue.shift()!);
    }
    if (this.#queue.length > 0 && this.#hopeless()) {
      for (const job of this.#queue.splice(0)) job.reject(this.#unavailable(cause));
    }
    if (this.#isDrained()) this.#drained?.();
  }

  /** No worker is inside ONNX Runtime, and none will be. */
  #isDrained(): boolean {
    return this.#queue.length === 0 && !this.#slots.some(({ state }) => state === "busy" || state === "starting");
  }

  #hopeless(): boolean {
    return this.#slots.every(
      (slot, i) => slot.state === "stopped" || (slot.state === "waiting" && this.#failures[i]! >= patience),
    );
  }

  #send(index: number, worker: Worker, job: PendingJob): void {
    const timeoutMs = this.#options.jobTimeoutMs ?? 60_000;
    const timer = setTimeout(() => {
      // Ended inside ONNX Runtime it would take the whole process with it: it is left alone until it answers.
      worker.unref();
      this.#onCrash(index, new Error(`no answer within ${timeoutMs} ms`));
    }, timeoutMs);
    this.#slots[index] = { state: "busy", worker, job, timer };
    this.#lastRequestIds[index] = job.requestIds;
    const images = ownMemory(job.images.data);
    const message: InferenceJob = { id: job.id, count: job.images.shape[0]!, images };
    worker.postMessage(message, [images.buffer]);
  }

  #stop(index: number): void {
    const slot = this.#slots[index]!;
    if ("timer" in slot) clearTimeout(slot.timer);
    this.#slots[index] = { state: "stopped" };
    if ("worker" in slot) void slot.worker.terminate();
  }

  #unavailable(cause?: Error): PipelineError {
    const reason = cause === undefined ? "every worker is down" : cause.message;
    return new PipelineError("INFERENCE_UNAVAILABLE", `inference is not available: ${reason}`, {
      remedy: "retry later; the log names the reason",
      details: { modelPath: this.#options.modelPath },
      cause,
    });
  }

  /** Finishes the jobs it has, and the start of workers, then ends the workers. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true;
    this.#dispatch();
    if (!this.#isDrained()) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
    }
    const workers = this.#slots.flatMap((slot) => ("worker" in slot ? [slot.worker] : []));
    for (let i = 0; i < this.#slots.length; i++) this.#stop(i);
    this.#dispatch();
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

function nameOf(index: number): string {
  return `inference-${index}`;
}

/** The worker's error with its own stack: where in the worker it happened. */
function errorOf({ message, stack }: Extract<InferenceReply, { type: "failed" }>): Error {
  const error = new Error(message);
  if (stack !== undefined) error.stack = stack;
  return error;
}

/** What may be moved to a thread: a view must not drag (or detach) the buffer that it looks into. */
function ownMemory(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = data;
  const isWhole = buffer instanceof ArrayBuffer && buffer.byteLength === data.byteLength;
  return isWhole ? new Uint8Array(buffer) : data.slice();
}

interface PromiseWithResolversCompat<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
}

/** Promise.withResolvers, which Node 20 lacks. */
function deferred<T>(): PromiseWithResolversCompat<T> {
  let resolve!: (value: T) => void;
  let reject!: (reason: unknown) => void;
  const promise = new Promise<T>((res, rej) => {
    resolve = res;
    reject = rej;
  });
  return { promise, resolve, reject };
}
