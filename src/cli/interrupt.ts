import { exitCodes } from "./failure.ts";
import { note, type Terminal } from "./terminal.ts";

/** A signal that aborts at the first Ctrl-C or SIGTERM; the second one ends the program at once. */
export interface Interrupt extends Disposable {
  readonly signal: AbortSignal;
}

/** @param message says what happens now */
export function onInterrupt(terminal: Terminal, message: string): Interrupt {
  const controller = new AbortController();
  const handle = (): void => {
    if (controller.signal.aborted) process.exit(exitCodes.interrupted);
    if (message !== "") note(terminal, `\n${message}`);
    controller.abort();
  };
  process.on("SIGINT", handle);
  process.on("SIGTERM", handle);
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      process.off("SIGINT", handle);
      process.off("SIGTERM", handle);
    },
  };
}
