import type { Socket } from "node:net";
import { PipelineError } from "../../base/errors.ts";

interface Reading {
  readonly target: Uint8Array;
  filled: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** Unread bytes above which a sender has to wait. */
const maxUnreadBytes = 4 * 2 ** 20;

/** A connection as a stream of bytes that is read in pieces of known lengths. */
export class ByteStream {
  readonly #socket: Socket;
  readonly #chunks: Uint8Array[] = [];
  #unread = 0;
  readonly #readings: Reading[] = [];
  #failure: Error | undefined;
  readonly #listeners: ((error: Error) => void)[] = [];
  #written: Promise<void> = Promise.resolve();

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (chunk) => this.#receive(chunk));
    socket.on("error", (error) => this.#fail(error));
    socket.on("end", () => this.#fail(new Error("the other side closed the connection")));
    socket.on("close", () => this.#fail(new Error("the connection is closed")));
  }

  get localAddress(): string {
    return this.#socket.localAddress ?? "";
  }

  get isLost(): boolean {
    return this.#failure !== undefined;
  }

  /** Fills the target. One piece after the other. */
  read(target: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined && this.#unread < target.length) {
        reject(lost(this.#failure));
        return;
      }
      this.#readings.push({ target, filled: 0, resolve, reject });
      this.#serve();
    });
  }

  /** Takes the bytes without copying them: they must stay as they are until `flushed`. */
  write(bytes: Uint8Array): void {
    if (this.#failure !== undefined) return;
    this.#written = new Promise((resolve, reject) => {
      this.#socket.write(bytes, (error) => (error ? reject(lost(error)) : resolve()));
    });
    this.#written.catch(() => undefined);
  }

  /** When the operating system has everything that was written. */
  async flushed(): Promise<void> {
    if (this.#failure !== undefined) throw lost(this.#failure);
    await this.#written;
  }

  /** Calls back once, when the connection is lost. */
  onLost(listener: (error: Error) => void): void {
    if (this.#failure === undefined) this.#listeners.push(listener);
    else listener(this.#failure);
  }

  /** Cuts the connection at once. */
  destroy(): void {
    this.#socket.destroy();
    this.#fail(new Error("the connection is closed"));
  }

  /** Sends what was written, then closes. */
  end(): void {
    this.#socket.end();
  }

  #receive(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#unread += chunk.length;
    this.#serve();
    if (this.#unread > maxUnreadBytes) this.#socket.pause();
  }

  #serve(): void {
    for (;;) {
      const reading = this.#readings[0];
      if (reading === undefined) return;
      while (reading.filled < reading.target.length) {
        const chunk = this.#chunks[0];
        if (chunk === undefined) {
          if (this.#failure !== undefined) this.#rejectAll(this.#failure);
          else this.#socket.resume();
          return;
        }
        const count = Math.min(chunk.length, reading.target.length - reading.filled);
        reading.target.set(count === chunk.length ? chunk : chunk.subarray(0, count), reading.filled);
        reading.filled += count;
        this.#unread -= count;
        if (count === chunk.length) this.#chunks.shift();
        else this.#chunks[0] = chunk.subarray(count);
      }
      this.#readings.shift();
      reading.resolve();
    }
  }

  #fail(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    // Pieces that have arrived whole may still be read.
    this.#serve();
    for (const listener of this.#listeners.splice(0)) listener(error);
  }

  #rejectAll(error: Error): void {
    for (const { reject } of this.#readings.splice(0)) reject(lost(error));
  }
}

function lost(cause: Error): PipelineError {
  return new PipelineError("PEER_LOST", `a connection to another process was lost: ${cause.message}`, { cause });
}
