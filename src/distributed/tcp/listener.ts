import { createServer, type Server } from "node:net";
import { PipelineError } from "../../base/errors.ts";
import { ByteStream } from "./byte-stream.ts";
import { type HandshakeOptions, welcome } from "./handshake.ts";

export interface ListenerOptions extends HandshakeOptions {
  readonly host: string;
  /** 0 for any that is free. */
  readonly port: number;
  /** Gets connections whose other side has proved to know the secret. */
  readonly onConnection: (stream: ByteStream) => void;
}

export interface Listener extends AsyncDisposable {
  readonly port: number;
}

const handshakeTimeoutMs = 5000;
/** Callers that may be in the middle of their handshake; more are cut off. */
const maxStrangers = 128;

/** Listens for other processes of the training. @throws ADDRESS_UNAVAILABLE */
export async function startListener({ host, port, onConnection, ...handshake }: ListenerOptions): Promise<Listener> {
  const streams = new Set<ByteStream>();
  let strangers = 0;
  const server = createServer((socket) => {
    if (strangers >= maxStrangers) {
      socket.destroy();
      return;
    }
    strangers++;
    const stream = new ByteStream(socket);
    streams.add(stream);
    stream.onLost(() => streams.delete(stream));
    const timer = setTimeout(() => stream.destroy(), handshakeTimeoutMs);
    welcome(stream, handshake)
      .then(
        () => onConnection(stream),
        // A stranger: there is nobody to tell.
        () => stream.destroy(),
      )
      .finally(() => {
        strangers--;
        clearTimeout(timer);
      });
  });
  await listen(server, host, port);
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : port,
    async [Symbol.asyncDispose]() {
      for (const stream of streams) stream.destroy();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host, port, exclusive: true }, resolve);
    });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const reason = code === "EADDRINUSE" ? "another program uses it" : String(code ?? cause);
    throw new PipelineError("ADDRESS_UNAVAILABLE", `cannot listen on ${host} port ${port}: ${reason}`, {
      remedy: "end that program, or name another address in distributed.init_method",
      details: { host, port },
      cause,
    });
  }
}
