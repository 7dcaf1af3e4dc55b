import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";

const cli = fileURLToPath(new URL("../../bin/cifar.mjs", import.meta.url));

/** The server as users run it: a process of its own, ended by signals. */
export interface Served {
  readonly url: string;
  readonly child: ChildProcess;
  /** Where it runs. */
  readonly folder: string;
  readonly ended: Promise<number | NodeJS.Signals | null>;
  /** Ends it at once. */
  kill(): Promise<void>;
}

export async function serveBundle(
  bundle: string,
  { cwd, settings = [] }: { readonly cwd: string; readonly settings?: readonly string[] },
): Promise<Served> {
  const args = ["serve", "--model", bundle, "--port", "0", ...settings.flatMap((setting) => ["--set", setting])];
  const child = spawn(process.execPath, [cli, ...args], { cwd, stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) => {
    child.once("exit", (code, signal) => resolve(signal ?? code));
  });
  let text = "";
  const url = await new Promise<string>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: Buffer) => {
        text = (text + chunk.toString()).slice(-20_000);
        const found = /serving \S+ at (http:\S+) /.exec(text);
        if (found !== null) resolve(found[1]!);
      });
    }
    void ended.then((end) => reject(new Error(`the server ended with ${end}: ${text}`)));
  });
  const kill = async () => {
    child.kill("SIGKILL");
    await ended;
  };
  return { url, child, folder: cwd, ended, kill };
}

/** Of the event loop since it was asked the last time, in ms. */
export async function largestLag(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const [, seconds] = /^nodejs_eventloop_lag_seconds\{statistic="max"\} (\S+)$/m.exec(text) ?? [];
  expect(seconds).toBeDefined();
  return Number(seconds) * 1000;
}
