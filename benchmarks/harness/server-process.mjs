import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * A server as a process of its own, on a free port that is its last argument, ready when /health answers.
 * @returns { name, url, pid, health, stop }
 */
export async function startServer(name, command, args) {
  const port = await freePort();
  const child = spawn(command, [...args, String(port)], { stdio: ["ignore", "ignore", "pipe"] });
  let problem = "";
  child.stderr.on("data", (chunk) => {
    problem = `${problem}${chunk}`.slice(-1500);
  });
  const ended = new Promise((resolve) => child.once("close", resolve).once("error", resolve));
  const stop = async () => {
    child.kill("SIGTERM");
    await ended;
  };
  const url = `http://127.0.0.1:${port}`;
  for (let waited = 0; waited < 60_000; waited += 200) {
    const health = await fetch(`${url}/health`)
      .then((response) => response.json())
      .catch(() => undefined);
    if (health !== undefined) return { name, url, pid: child.pid, health, stop };
    if (child.exitCode !== null || child.pid === undefined) break;
    await sleep(200);
  }
  child.kill("SIGKILL");
  throw new Error(`${name} did not start: ${problem.trim().split("\n").at(-1) || command}`);
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
