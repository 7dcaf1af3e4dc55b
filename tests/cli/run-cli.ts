import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const entry = fileURLToPath(new URL("../../bin/cifar.mjs", import.meta.url));

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A running `cifar` process of the build, in a folder of its own. */
export interface CliProcess {
  readonly child: ChildProcess;
  readonly ended: Promise<CliResult>;
}

export interface CliOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly onLine?: (line: string, child: ChildProcess) => void;
}

/** Threads of a training that wait for each other take the cores that other tests need. */
const frugal = (command: string): readonly string[] =>
  command === "train" || command === "tune" ? ["--set", "training.threads=1"] : [];

export function startCli(args: readonly string[], { cwd, env = {}, onLine }: CliOptions): CliProcess {
  const { CIFAR_SOURCE: _, ...inherited } = process.env;
  const [command = "", ...rest] = args;
  const child = spawn(process.execPath, [entry, command, ...frugal(command), ...rest], {
    cwd,
    env: { ...inherited, ...env },
  });
  let stdout = "";
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const lines = createInterface({ input: child.stdout });
  lines.on("line", (line) => {
    stdout += `${line}\n`;
    onLine?.(line, child);
  });
  const ended = new Promise<CliResult>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, stdout, stderr }));
  });
  return { child, ended };
}

export function runCli(args: readonly string[], options: CliOptions): Promise<CliResult> {
  return startCli(args, options).ended;
}

/** The JSON lines of an output. */
export function eventsOf(stdout: string): readonly Record<string, unknown>[] {
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
