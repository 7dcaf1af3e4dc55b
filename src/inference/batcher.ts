import { PipelineError } from "../base/errors.ts";

export interface BatchRun {
  /** Aborts when every item was cancelled. */
  readonly signal: AbortSignal;
  /** How long each item has waited, in ms. */
  readonly queuedMs: readonly number[];
}

export interface BatcherOptions<In, Out> {
  /** Handles one batch; must give one result per item, in order. */
  readonly run: (items: readonly In[], batch: BatchRun) => Promise<readonly Out[]>;
  readonly maxBatchSize: number;
  /** How long the oldest item may wait for company, in ms; it may wait longer while every slot is busy. */
  readonly maxDelayMs: number;
  /**
   * "fixed" waits maxDelayMs. "adaptive", the default, waits only while company can be expected, and never longer than
   * a run has taken lately: see `#windowMs`.
   */
  readonly window?: "fixed" | "adaptive";
  /** Items that may wait, those in running batches not counted. */
  readonly queueLimit: number;
  /** Batches that may run at once; default 1. */
  readonly concurrency?: number;
}

interface Waiting<In, Out> {
  readonly item: In;
  readonly enqueuedAt: number;
  readonly signal: AbortSignal | undefined;
  settled: boolean;
  readonly resolve: (value: Out) => void;
  readonly reject: (reason: unknown) => void;
}

/** Weight of the newest value in the moving averages of arrival gaps and run times. */
const newestWeight = 0.2;

/**
 * Collects single items into batches. A batch starts when a slot is free and either maxBatchSize items wait or the
 * oldest has waited for its window. While all slots are busy the queue grows, up to queueLimit.
 *
 * Batching an image with others changes its logits by less than 1e-5 (kernels may sum in another order); the same
 * batch size gives the same bits.
 */
export class Batcher<In, Out> implements AsyncDisposable {
  readonly #options: Required<BatcherOptions<In, Out>>;
  #queue: Waiting<In, Out>[] = [];
  #running = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  #idle: (() => void)[] = [];
  /** Moving averages in ms: between two arrivals, and of a run. */
  #gapMs = Number.POSITIVE_INFINITY;
  #runMs: number | undefined;
  #lastArrival: number | undefined;

  constructor(options: BatcherOptions<In, Out>) {
    const { maxBatchSize, queueLimit, maxDelayMs, concurrency = 1, window = "adaptive" } = options;
    for (const [name, value, least] of [
      ["maxBatchSize", maxBatchSize, 1],
      ["queueLimit", queueLimit, 1],
      ["concurrency", concurrency, 1],
    ] as const) {
      if (!Number.isInteger(value) || value < least) {
        throw new PipelineError("INVALID_ARGUMENT", `${name} must be an integer of at least ${least}, got ${value}`);
      }
    }
    if (!(maxDelayMs >= 0)) throw new PipelineError("INVALID_ARGUMENT", `maxDelayMs must be >= 0, got ${maxDelayMs}`);
    this.#options = { ...options, concurrency, window };
  }

  /** Items that wait for a batch. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Batches that run now. */
  get running(): number {
    return this.#running;
  }

  /** How long an item that comes now will probably wait for its run to start, in ms. */
  get expectedWaitMs(): number {
    const { maxBatchSize, concurrency } = this.#options;
    if (this.#runMs === undefined || this.#running < concurrency) return 0;
    const batchesAhead = 1 + Math.floor(this.#queue.length / maxBatchSize);
    return (batchesAhead * this.#runMs) / concurrency;
  }

  /**
   * @throws QUEUE_FULL when queueLimit items wait already, SHUTTING_DOWN after disposal, the signal's reason when it
   * aborts first, or whatever `run` throws.
   */
  submit(item: In, signal?: AbortSignal): Promise<Out> {
    if (this.#closed) {
      return Promise.reject(
        new PipelineError("SHUTTING_DOWN", "the batcher takes no new items", { remedy: "retry at another instance" }),
      );
    }
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#queue.length >= this.#options.queueLimit) {
      return Promise.reject(
        queueFull({ waiting: this.#queue.length, limit: this.#options.queueLimit, retryAfterMs: this.expectedWaitMs }),
      );
    }
    const now = performance.now();
    if (this.#lastArrival !== undefined) this.#gapMs = average(this.#gapMs, now - this.#lastArrival);
    this.#lastArrival = now;
    return new Promise<Out>((resolve, reject) => {
      const onAbort = () => {
        this.#queue = this.#queue.filter((other) => other !== entry);
        entry.reject(signal?.reason);
        this.#schedule();
        this.#notifyIdle();
      };
      const settle = <T>(callback: (value: T) => void) => {
        return (value: T) => {
          if (entry.settled) return;
          entry.settled = true;
          signal?.removeEventListener("abort", onAbort);
          callback(value);
        };
      };
      const entry: Waiting<In, Out> = {
        item,
        enqueuedAt: now,
        signal,
        settled: false,
        resolve: settle(resolve),
        reject: settle(reject),
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#queue.push(entry);
      this.#schedule();
    });
  }

  /** Starts what may start now and sets the timer for the rest. */
  #schedule(): void {
    const { maxBatchSize, concurrency } = this.#options;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    while (this.#queue.length > 0 && this.#running < concurrency) {
      const waitMs = this.#queue[0]!.enqueuedAt + this.#windowMs() - performance.now();
      if (this.#queue.length < maxBatchSize && waitMs > 0 && !this.#closed) {
        this.#timer = setTimeout(() => this.#schedule(), Math.ceil(waitMs));
        return;
      }
      this.#start(this.#queue.splice(0, maxBatchSize));
    }
  }

  /**
   * Where the mean gap between arrivals is longer than maxDelayMs nobody is worth waiting for; else the window is the
   * time in which a batch fills at this rate. To wait longer than a run takes never pays: the late ones go next.
   */
  #windowMs(): number {
    const { maxDelayMs, maxBatchSize, window } = this.#options;
    if (window === "fixed") return maxDelayMs;
    if (this.#gapMs > maxDelayMs) return 0;
    return Math.min(maxDelayMs, this.#gapMs * maxBatchSize, this.#runMs ?? maxDelayMs);
  }

  #start(batch: Waiting<In, Out>[]): void {
    this.#running++;
    const started = performance.now();
    const abort = new AbortController();
    const onAbort = () => {
      if (batch.every((entry) => entry.signal?.aborted)) abort.abort(batch[0]!.signal?.reason);
    };
    for (const { signal } of batch) signal?.addEventListener("abort", onAbort, { once: true });
    const finish = () => {
      for (const { signal } of batch) signal?.removeEventListener("abort", onAbort);
      this.#running--;
      this.#schedule();
      this.#notifyIdle();
    };
    const queuedMs = batch.map((entry) => started - entry.enqueuedAt);
    this.#execute(batch, { signal: abort.signal, queuedMs }).then(
      (results) => {
        this.#runMs = average(this.#runMs, performance.now() - started);
        batch.forEach((entry, i) => {
          entry.resolve(results[i]!);
        });
        finish();
      },
      (error: unknown) => {
        for (const entry of batch) entry.reject(error);
        finish();
      },
    );
  }

  async #execute(batch: readonly Waiting<In, Out>[], run: BatchRun): Promise<readonly Out[]> {
    const results = await this.#options.run(
      batch.map((entry) => entry.item),
      run,
    );
    if (results.length !== batch.length) {
      throw new PipelineError("INFERENCE_FAILED", `a batch of ${batch.length} items gave ${results.length} results`);
    }
    return results;
  }

  #notifyIdle(): void {
    if (this.#running > 0 || this.#queue.length > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** Takes nothing new, runs what waits without further delay, and resolves when all of it is done. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#schedule();
    if (this.#running === 0 && this.#queue.length === 0) return;
    await new Promise<void>((resolve) => this.#idle.push(resolve));
  }
}

export function queueFull({
  waiting,
  limit,
  retryAfterMs,
}: {
  readonly waiting: number;
  readonly limit: number;
  readonly retryAfterMs: number;
}): PipelineError {
  return new PipelineError("QUEUE_FULL", `${waiting} requests are waiting already`, {
    remedy: "retry later",
    details: { queueLimit: limit, retryAfterMs },
  });
}

function average(mean: number | undefined, value: number): number {
  return mean === undefined || !Number.isFinite(mean) ? value : mean + newestWeight * (value - mean);
}
