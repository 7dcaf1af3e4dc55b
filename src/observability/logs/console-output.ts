import { constants, openSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { destination } from "pino";

/** Takes lines, and gives them up rather than wait. */
export interface LineSink {
  write(text: string): unknown;
}

export interface ConsoleOutput extends LineSink, AsyncDisposable {}

/** Bytes that wait for a slow reader; what comes on top of them is lost. */
const maxWaitingBytes = 1024 * 1024;
/** At the end a reader that has stopped gets so long to go on. */
const maxFlushMs = 500;

/**
 * Standard output or error for a server: a terminal that was halted (Ctrl-S) or a pipe that nobody reads costs lines,
 * never time. Node writes to pipes in the background but keeps all that waits; to terminals it waits.
 * @param onLost called for each line that was given up
 */
export function consoleOutput(
  stream: NodeJS.WriteStream & { readonly fd: number },
  onLost: (error: Error) => void,
): ConsoleOutput {
  const lost = () => onLost(new Error("its reader is too slow"));
  const terminal = stream.isTTY === true ? openTerminal(stream.fd) : undefined;
  if (terminal === undefined) {
    return {
      write: (text) => (stream.writableLength + text.length > maxWaitingBytes ? lost() : stream.write(text)),
      [Symbol.asyncDispose]: async () => undefined,
    };
  }
  const output = destination({ dest: terminal, sync: false, maxLength: maxWaitingBytes });
  output.on("drop", lost);
  output.on("error", onLost);
  return {
    write: (text) => output.write(text),
    async [Symbol.asyncDispose]() {
      const flushed = new Promise<void>((resolve) => output.flush(() => resolve()));
      await Promise.race([flushed, sleep(maxFlushMs, undefined, { ref: false })]);
      output.destroy();
    },
  };
}

/** The terminal once more, without waiting; it has this mode for itself, not for the others that write to it. */
function openTerminal(fd: number): number | undefined {
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    // No /proc: what Node does has to do.
    return undefined;
  }
}
