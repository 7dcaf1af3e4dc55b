import type { Writable } from "node:stream";
import { note, type Terminal } from "./display/terminal.ts";
import { exitCodes } from "./failure.ts";

const names = { out: "standard output", err: "standard error" } as const;

/** After so long a command is one that works, not one that has just printed its result. */
const workingMs = 1000;

/**
 * A reader that has gone (`cifar train | head -2`) or a full disk behind an output ends no command: it goes on without
 * that output, says so once on the other one, and fails in the end where what it had to print could not be written.
 */
export function surviveLostOutput(terminal: Terminal): void {
  const lost = new Set<Writable>();
  for (const [key, other] of [
    ["out", "err"],
    ["err", "out"],
  ] as const) {
    const stream = terminal[key];
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (lost.has(stream)) return;
      lost.add(stream);
      const tell = (): void => {
        if (lost.has(terminal[other])) return;
        note({ ...terminal, err: terminal[other] }, `${names[key]} is lost (${error.message}): going on without it`);
      };
      // Who closed a pipe has seen enough: worth a word only where the command works on.
      if (isClosed(error)) setTimeout(tell, workingMs).unref();
      else {
        if (key === "out") terminal.status.code ||= exitCodes.failed;
        tell();
      }
    });
  }
}

/** The reader of a pipe has ended, or the terminal has been closed. */
function isClosed({ code }: NodeJS.ErrnoException): boolean {
  return code === "EPIPE" || code === "EIO";
}
