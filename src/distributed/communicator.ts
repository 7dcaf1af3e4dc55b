import { SHARE_ENV, Worker } from "node:worker_threads";
import { PipelineError } from "../base/errors.ts";
import { workerUrl } from "../base/worker-url.ts";
import type {
  CommunicatorCall,
  CommunicatorReply,
  CommunicatorRequest,
  GroupDescription,
  JoinOptions,
  PlainError,
} from "./communicator-protocol.ts";
import type { Welcome } from "./control/messages.ts";
import type { ProcessGroup } from "./process-group.ts";

/** A process's part in a training, with a thread of its own for all communication. */
export interface Communicator extends AsyncDisposable {
  readonly rank: number;
  readonly worldSize: number;
  readonly welcome: Welcome;
  /** Aborts when the coordinator asks to stop. */
  readonly stopping: AbortSignal;
  /** The next complete group; the one before is no more. @throws PEER_LOST when there can't be another one */
  nextGroup(): Promise<ProcessGroup>;
  /** Tells the owner of the run. */
  report(report: unknown): void;
  /** This process has done its part. */
  done(): void;
  /** Whether the whole training is done. */
  readonly hasEnded: boolean;
  /** Waits until the whole training is done. @throws PEER_LOST when the group breaks before */
  ended(): Promise<void>;
}

/** @throws PEER_REFUSED, PEER_LOST when the coordinator can't be reached */
export async function joinTraining(options: JoinOptions): Promise<Communicator> {
  // MPI reads the environment: what is set in the thread has to be there.
  const worker = new Worker(workerUrl("workers/communicator-worker"), {
    workerData: options,
    name: "communicator",
    env: SHARE_ENV,
  });
  const calls = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  const stopping = new AbortController();
  const ending = withResolvers<void>();
  let [nextId, hasEnded, closed] = [0, false, false];
  let onLost: (error: PipelineError) => void = () => undefined;
  const opening = withResolvers<Welcome>();

  const fail = (error: PipelineError): void => {
    opening.reject(error);
    for (const { reject } of calls.values()) reject(error);
    calls.clear();
    onLost(error);
  };
  worker.on("message", (message: CommunicatorReply) => {
    switch (message.type) {
      case "welcome":
        opening.resolve(message.welcome);
        break;
      case "unwelcome":
        opening.reject(restore(message.error));
        break;
      case "result":
        calls.get(message.id)?.resolve(message.value as never);
        calls.delete(message.id);
        break;
      case "error":
        calls.get(message.id)?.reject(restore(message.error));
        calls.delete(message.id);
        break;
      case "lost":
        onLost(new PipelineError("PEER_LOST", message.reason));
        break;
      case "stop":
        stopping.abort();
        break;
      case "end":
        hasEnded = true;
        ending.resolve();
        break;
      default:
        message satisfies never;
    }
  });
  const gone = (cause: unknown): void => {
    if (!closed)
      fail(new PipelineError("PEER_LOST", `the thread that communicates stopped: ${String(cause)}`, { cause }));
  };
  worker.on("error", gone);
  worker.on("exit", (code) => gone(`exit code ${code}`));

  const post = (request: CommunicatorRequest): void => worker.postMessage(request);
  const call = <T>(what: CommunicatorCall): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      const id = nextId++;
      calls.set(id, { resolve, reject });
      post({ type: "call", id, call: what });
    });
  const welcome = await opening.promise.catch(async (error: unknown) => {
    closed = true;
    await worker.terminate();
    throw error;
  });
  return {
    rank: options.rank,
    worldSize: welcome.worldSize,
    welcome,
    stopping: stopping.signal,
    get hasEnded() {
      return hasEnded;
    },
    async nextGroup() {
      return groupOver(await call<GroupDescription>({ type: "group" }), call);
    },
    report: (report) => post({ type: "report", report }),
    done: () => post({ type: "done" }),
    ended() {
      if (hasEnded) return Promise.resolve();
      return new Promise((resolve, reject) => {
        onLost = reject;
        ending.promise.then(resolve, reject);
      });
    },
    async [Symbol.asyncDispose]() {
      await Promise.race([call({ type: "close" }), new Promise((resolve) => setTimeout(resolve, 2000).unref())]);
      closed = true;
      await worker.terminate();
    },
  };
}

type Caller = <T>(what: CommunicatorCall) => Promise<T>;

/** The group in the other thread; numbers lie in memory that both threads see. */
function groupOver({ rank, worldSize, description }: GroupDescription, call: Caller): ProcessGroup {
  return {
    rank,
    worldSize,
    description,
    allocate: (length) => new Float32Array(new SharedArrayBuffer(4 * length)),
    async allReduce(data, residual) {
      const [sum, kept] = [inShared(data), residual === undefined ? undefined : inShared(residual)];
      await call({ type: "allReduce", data: sum, ...(kept === undefined ? {} : { residual: kept }) });
      if (sum !== data) data.set(sum);
      if (kept !== residual) residual?.set(kept!);
    },
    broadcast: (data, root) => call({ type: "broadcast", data, root }),
    allGather: (data) => call({ type: "allGather", data }),
    barrier: () => call({ type: "barrier" }),
    abort(reason) {
      call({ type: "abort", reason: reason.message }).catch(() => undefined);
    },
    async [Symbol.asyncDispose]() {},
  };
}

/** The same memory where both threads see it, else a copy. */
function inShared(data: Float32Array): Float32Array {
  if (data.buffer instanceof SharedArrayBuffer) return data;
  const shared = new Float32Array(new SharedArrayBuffer(data.byteLength));
  shared.set(data);
  return shared;
}

function restore({ code, message }: PlainError): PipelineError {
  return new PipelineError(code, message);
}

function withResolvers<T>() {
  let resolve!: (value: T) => void;
  let reject!: (reason: unknown) => void;
  const promise = new Promise<T>((accept, refuse) => {
    resolve = accept;
    reject = refuse;
  });
  // It may fail before anybody waits for it.
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}
