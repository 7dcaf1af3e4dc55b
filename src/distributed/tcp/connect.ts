import { connect as connectSocket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { isPipelineError, PipelineError } from "../../base/errors.ts";
import { ByteStream } from "./byte-stream.ts";
import { greet, type HandshakeOptions } from "./handshake.ts";

export interface ConnectOptions extends HandshakeOptions {
  readonly host: string;
  readonly port: number;
  /** Tries again for so long while nobody answers there. */
  readonly patienceMs: number;
  readonly signal?: AbortSignal | undefined;
}

const attemptTimeoutMs = 5000;
const pauseMs = 200;

/** A connection to a listener. @throws PEER_REFUSED for a wrong secret, PEER_LOST when nobody answers in time */
export async function connect(options: ConnectOptions): Promise<ByteStream> {
  const { host, port, patienceMs, signal } = options;
  const until = performance.now() + patienceMs;
  for (;;) {
    signal?.throwIfAborted();
    try {
      return await attempt(options);
    } catch (cause) {
      if (isPipelineError(cause, "PEER_REFUSED")) throw cause;
      if (performance.now() + pauseMs < until) {
        await sleep(pauseMs, undefined, { signal });
        continue;
      }
      throw new PipelineError("PEER_LOST", `nobody answers at ${host} port ${port}: ${(cause as Error).message}`, {
        remedy: "start the process of rank 0, and check distributed.init_method or MASTER_ADDR and MASTER_PORT",
        details: { host, port, patienceMs },
        cause,
      });
    }
  }
}

async function attempt({ host, port, signal, ...handshake }: ConnectOptions): Promise<ByteStream> {
  const socket = connectSocket({ host, port });
  const timer = setTimeout(() => socket.destroy(new Error("no answer in time")), attemptTimeoutMs);
  const abort = (): void => void socket.destroy(new Error("stopped"));
  signal?.addEventListener("abort", abort, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
      socket.once("close", () => reject(new Error("the connection is closed")));
    });
    const stream = new ByteStream(socket);
    await greet(stream, handshake);
    return stream;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}
