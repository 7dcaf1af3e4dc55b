import { endProcess } from "../base/end-process.ts";
import { note, type Terminal } from "./display/terminal.ts";
import { exitCodes } from "./failure.ts";

/** A signal that aborts at the first Ctrl-C, SIGTERM or SIGHUP; the second one ends the program at once. */
export interface Interrupt extends Disposable {
  readonly signal: AbortSignal;
}

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** One key press may come twice: from the terminal, and passed on by what started this program. */
const sameMs = 200;

const showCursor = "\u001b[?25h";

/** @param message says what happens now */
export function onInterrupt(terminal: Terminal, message: string): Interrupt {
  const controller = new AbortController();
  let first = { name: "", at: 0 };
  const handle = (name: NodeJS.Signals): void => {
    const at = performance.now();
    if (controller.signal.aborted) {
      if (name === first.name && at - first.at < sameMs) return;
      if (terminal.interactive) terminal.err.write(showCursor);
      endProcess(exitCodes.interrupted);
    }
    first = { name, at };
    if (message !== "") note(terminal, `\n${message}`);
    controller.abort();
  };
  for (const name of signals) process.on(name, handle);
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      for (const name of signals) process.off(name, handle);
    },
  };
}
