import { type MessagePort, type Transferable, Worker } from "node:worker_threads";
import { restoreError, type TransferredError, transferError } from "./error-transfer.ts";
import { workerUrl } from "./worker-url.ts";

type Command<Request> = { readonly id: number; readonly request: Request } | { readonly close: true };
type Reply<Result> =
  | { readonly id: number; readonly result: Result }
  | { readonly id: number; readonly error: TransferredError };

export interface CallThreadOptions {
  /** Of the worker, which calls `answerCalls`; see workerUrl. */
  readonly entry: string;
  /** What callers get when the thread dies over their call. */
  readonly failure: (cause: unknown) => Error;
}

interface Pending<Result> {
  readonly resolve: (result: Result) => void;
  readonly reject: (reason: unknown) => void;
}

/** A thread that answers calls: started by the first one, and anew after it died. While idle it keeps no process alive. */
export class CallThread<Request, Result> implements Disposable {
  readonly #options: CallThreadOptions;
  #worker: Worker | undefined;
  readonly #pending = new Map<number, Pending<Result>>();
  #nextId = 1;
  #isClosed = false;

  constructor(options: CallThreadOptions) {
    this.#options = options;
  }

  /** @throws what the worker's function throws, and `failure` */
  call(request: Request, transfer: readonly Transferable[] = []): Promise<Result> {
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      this.#worker ??= this.#start();
      this.#worker.ref();
      this.#worker.postMessage({ id, request } satisfies Command<Request>, transfer);
      this.#pending.set(id, { resolve, reject });
    });
  }

  #start(): Worker {
    const { entry, failure } = this.#options;
    const worker = new Worker(workerUrl(entry), { name: entry });
    worker.on("message", (reply: Reply<Result>) => {
      const pending = this.#pending.get(reply.id);
      this.#pending.delete(reply.id);
      if ("error" in reply) pending?.reject(restoreError(reply.error));
      else pending?.resolve(reply.result);
      if (this.#pending.size === 0) this.#rest();
    });
    const fail = (cause: unknown): void => {
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      for (const { reject } of this.#pending.values()) reject(failure(cause));
      this.#pending.clear();
    };
    worker.on("error", fail);
    worker.on("messageerror", fail);
    worker.on("exit", (code) => fail(new Error(`exit code ${code}`)));
    return worker;
  }

  #rest(): void {
    this.#worker?.unref();
    if (this.#isClosed) this.#worker?.postMessage({ close: true } satisfies Command<Request>);
  }

  /** Calls in hand are answered. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    if (this.#pending.size === 0) this.#rest();
  }
}

/** The worker's side: many calls may be in hand at once. */
export function answerCalls<Request, Result>(
  port: MessagePort,
  answer: (request: Request) => Result | Promise<Result>,
): void {
  port.on("message", async (command: Command<Request>) => {
    // The thread ends by itself then.
    if ("close" in command) return port.close();
    const { id, request } = command;
    let reply: Reply<Result>;
    try {
      reply = { id, result: await answer(request) };
    } catch (error) {
      reply = { id, error: transferError(error) };
    }
    port.postMessage(reply);
  });
}
