import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * A server as a process of its own, on a free port that is its last argument, ready when /health answers: its JSON, or its text.
 * @param options `cwd` and `env` of the process; `group: true` for one whose children have to end with it; `waitMs`: for
 *   how long it may start
 * @returns { name, url, pid, health, stop, pause, resume }: one that is paused takes nothing of the machine's time
 */
export async function startServer(name, command, args, { cwd, env, group = false, waitMs = 60_000 } = {}) {
  const port = await freePort();
  const child = spawn(command, [...args, String(port)], {
    stdio: ["ignore", "ignore", "pipe"],
    detached: group,
    ...(cwd === undefined ? {} : { cwd }),
    ...(env === undefined ? {} : { env }),
  });
  let problem = "";
  child.stderr.on("data", (chunk) => {
    problem = `${problem}${chunk}`.slice(-1500);
  });
  const ended = new Promise((resolve) => child.once("close", resolve).once("error", resolve));
  const signal = (name) => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(group ? -child.pid : child.pid, name);
  };
  const stop = async () => {
    signal("SIGCONT");
    signal("SIGTERM");
    await ended;
  };
  const url = `http://127.0.0.1:${port}`;
  for (let waited = 0; waited < waitMs; waited += 200) {
    const health = await fetch(`${url}/health`)
      .then((response) => (response.ok ? response.text() : undefined))
      .then((text) => (text === undefined ? undefined : readHealth(text)))
      .catch(() => undefined);
    if (health !== undefined) {
      const [pause, resume] = ["SIGSTOP", "SIGCONT"].map((name) => () => signal(name));
      return { name, url, pid: child.pid, health, stop, pause, resume };
    }
    if (child.exitCode !== null || child.pid === undefined) break;
    await sleep(200);
  }
  signal("SIGKILL");
  throw new Error(`${name} did not start: ${problem.trim().split("\n").at(-1) || command}`);
}

function readHealth(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject).listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
