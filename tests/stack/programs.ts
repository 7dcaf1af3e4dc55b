import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** The programs of Debian's packages, which the tests start themselves. */
const installed = (command: string): boolean => spawnSync(command, ["--version"]).status === 0;

export const hasPrometheus = installed("prometheus") && installed("promtool");
export const hasAlertmanager = installed("prometheus-alertmanager") && installed("amtool");
export const remedy = "not run: apt-get install -y --no-install-recommends prometheus prometheus-alertmanager";

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export interface Program extends AsyncDisposable {
  readonly child: ChildProcess;
  readonly output: () => string;
}

/** Starts a program and waits until the address answers. Disposing ends it, by its own id. */
export async function startProgram(command: string, args: readonly string[], readyUrl: string): Promise<Program> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const program: Program = {
    child,
    output: () => output,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await ended;
    },
  };
  await waitFor(`${command} at ${readyUrl}`, async () => {
    if (child.exitCode !== null) throw new Error(`${command} ended: ${output}`);
    return (await fetch(readyUrl).catch(() => undefined))?.ok;
  });
  return program;
}

interface Place {
  readonly config: string;
  /** A folder of its own. */
  readonly storage: string;
  readonly port: number;
  /** Beside what it has anyway. */
  readonly flags?: readonly string[];
}

/** As the stack starts it, but for times and what `flags` has. */
export const startPrometheus = ({ config, storage, port, flags = [] }: Place): Promise<Program> =>
  startProgram(
    "prometheus",
    [
      `--config.file=${config}`,
      `--storage.tsdb.path=${storage}`,
      `--web.listen-address=127.0.0.1:${port}`,
      "--web.enable-lifecycle",
      "--rules.alert.resend-delay=2s",
      ...flags,
    ],
    `http://127.0.0.1:${port}/-/ready`,
  );

/** As the stack starts it. */
export const startAlertmanager = ({ config, storage, port }: Place): Promise<Program> =>
  startProgram(
    "prometheus-alertmanager",
    [
      `--config.file=${config}`,
      `--storage.path=${storage}`,
      `--web.listen-address=127.0.0.1:${port}`,
      "--cluster.listen-address=",
    ],
    `http://127.0.0.1:${port}/-/ready`,
  );

/** Asks again and again until there is an answer that is not undefined, null or false. */
export async function waitFor<T>(what: string, ask: () => Promise<T> | T, seconds = 60): Promise<NonNullable<T>> {
  const until = performance.now() + seconds * 1000;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== null && answer !== false) return answer as NonNullable<T>;
    if (performance.now() > until) throw new Error(`${what}: not within ${seconds} s`);
    await sleep(100);
  }
}
