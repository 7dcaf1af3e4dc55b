import { untilAborted } from "../base/until-aborted.ts";

/**
 * Lets so many tasks run at once, the others in the order in which they came. One whose signal aborts while it waits
 * never runs; one whose signal aborts later is left alone, and keeps its place until it ends.
 */
export class Limiter {
  readonly #concurrency: number;
  readonly #queue: (() => void)[] = [];
  #running = 0;

  constructor(concurrency: number) {
    this.#concurrency = concurrency;
  }

  /** Tasks that run or wait. */
  get pending(): number {
    return this.#running + this.#queue.length;
  }

  /** @throws the signal's reason, or what the task throws */
  async run<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    if (this.#running >= this.#concurrency) await this.#turn(signal);
    else this.#running++;
    const work = task().finally(() => {
      // The place goes to the next one as it is.
      const next = this.#queue.shift();
      if (next === undefined) this.#running--;
      else next();
    });
    return signal === undefined ? work : untilAborted(work, signal);
  }

  #turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const start = () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      };
      const onAbort = () => {
        this.#queue.splice(this.#queue.indexOf(start), 1);
        reject(signal?.reason);
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#queue.push(start);
    });
  }
}
