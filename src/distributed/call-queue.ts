import { PipelineError } from "../base/errors.ts";

export interface CallQueueOptions {
  readonly timeoutMs: number;
  /** Ends what a call may be waiting for. */
  readonly onAbort: (reason: PipelineError) => void;
}

/** Carries out the calls of a process group one after the other, each within its time, until the group ends. */
export class CallQueue {
  readonly #options: CallQueueOptions;
  #last: Promise<unknown> = Promise.resolve();
  #reason: PipelineError | undefined;
  readonly #aborted: Promise<never>;
  #reject!: (reason: PipelineError) => void;

  constructor(options: CallQueueOptions) {
    this.#options = options;
    this.#aborted = new Promise((_, reject) => {
      this.#reject = reject;
    });
    // Each call races with it; without calls nobody listens.
    this.#aborted.catch(() => undefined);
  }

  run<T>(name: string, work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(() => this.#timed(name, work));
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** The first reason counts. */
  abort(reason: PipelineError): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#reject(reason);
    this.#options.onAbort(reason);
  }

  async #timed<T>(name: string, work: () => Promise<T>): Promise<T> {
    if (this.#reason !== undefined) throw this.#reason;
    const { timeoutMs } = this.#options;
    const timer = setTimeout(() => {
      this.abort(
        new PipelineError("PEER_LOST", `${name} took longer than ${timeoutMs / 1000} seconds: a process hangs`, {
          remedy: "see what the other processes do; for slow steps raise distributed.collective_timeout",
          details: { call: name, timeoutMs },
        }),
      );
    }, timeoutMs);
    try {
      const working = work();
      working.catch(() => undefined);
      return await Promise.race([working, this.#aborted]);
    } catch (error) {
      // What a call says when its connections are cut is the consequence, not the reason.
      throw this.#reason ?? error;
    } finally {
      clearTimeout(timer);
    }
  }
}
