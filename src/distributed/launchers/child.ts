import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";

export interface ChildOptions {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** "channel": it is a program of ours, which ends itself when the channel to this process closes. */
  readonly tie?: "channel" | "none" | undefined;
  /** How it ended: "exit code 1" or "signal SIGKILL", with the last line that it wrote as an error. */
  readonly onExit: (how: string, code: number | null) => void;
}

/** A process that is ended by its id. */
export interface Child {
  readonly pid: number | undefined;
  /** At once. */
  kill(): void;
  /** Lets it clean up first; insists after some seconds. */
  terminate(): Promise<void>;
  /** Waits for it to end by itself for some seconds, then terminates it. */
  end(): Promise<void>;
}

const keptCharacters = 4000;
const patienceMs = 5000;
/** What it wrote last comes a little after it has ended, and never where a process of its own still lives. */
const lastWordsMs = 100;

export function startChild({ command, env, tie = "none", onExit }: ChildOptions): Child {
  const [program = "", ...args] = command;
  const stdio = ["ignore", "ignore", "pipe", ...(tie === "channel" ? (["ipc"] as const) : [])] as const;
  const child: ChildProcess = spawn(program, args, { env, stdio: [...stdio] });
  let errors = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    errors = `${errors}${chunk.toString()}`.slice(-keptCharacters);
  });
  let isOver = false;
  const over = new Promise<void>((resolve) => {
    const finish = (how: string, code: number | null): void => {
      if (isOver) return;
      isOver = true;
      child.stderr?.destroy();
      const last = errors.trim().split("\n").at(-1) ?? "";
      onExit(last === "" ? how : `${how}: ${last}`, code);
      resolve();
    };
    child.once("error", (error) => finish(error.message, null));
    child.once("exit", (code, signal) => {
      setTimeout(() => finish(signal === null ? `exit code ${code}` : `signal ${signal}`, code), lastWordsMs);
    });
  });
  const within = async (ms: number): Promise<void> => {
    const controller = new AbortController();
    await Promise.race([over, sleep(ms, undefined, { signal: controller.signal }).catch(() => undefined)]);
    controller.abort();
  };
  const terminate = async (): Promise<void> => {
    if (isOver) return;
    child.kill("SIGTERM");
    await within(patienceMs);
    if (!isOver) child.kill("SIGKILL");
    await over;
  };
  return {
    pid: child.pid,
    kill: () => void child.kill("SIGKILL"),
    terminate,
    async end() {
      await within(patienceMs);
      await terminate();
    },
  };
}
