import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { RayClient } from "../../src/ray/ray-client.ts";

/** The `ray` program: beside RAY_PYTHON, else on the PATH; undefined where there is none. */
export function findRay(): string | undefined {
  const { RAY_PYTHON: python } = process.env;
  const beside = python === undefined ? undefined : join(dirname(python), "ray");
  if (beside !== undefined && existsSync(beside)) return beside;
  return spawnSync("ray", ["--version"]).status === 0 ? "ray" : undefined;
}

export const rayRemedy =
  'Ray is not here: python3 -m venv VENV && VENV/bin/pip install "ray[default]", then RAY_PYTHON=VENV/bin/python';

/** A node of the cluster: one `ray start --block` with all that it started. */
export interface RayNode {
  /** Ends all its processes at once, as a power cut would. */
  kill(): Promise<void>;
}

export interface RayCluster extends AsyncDisposable {
  readonly address: string;
  readonly tokenFile: string;
  readonly client: RayClient;
  /** One CPU each. */
  addNode(): Promise<RayNode>;
}

/**
 * A real Ray cluster of this machine: a head without CPUs, so that every job runs on a node that can be killed. Its
 * dashboard listens on loopback; everything wants the token.
 */
export async function startRay(ray: string): Promise<RayCluster> {
  const folder = await mkdtemp(join(tmpdir(), "ray-"));
  const token = randomBytes(32).toString("hex");
  const tokenFile = join(folder, "token");
  await writeFile(tokenFile, token, { mode: 0o600 });
  const [port, dashboardPort] = await freePorts(2);
  const env = {
    ...process.env,
    ...{ RAY_AUTH_MODE: "token", RAY_AUTH_TOKEN: token, RAY_USAGE_STATS_ENABLED: "0" },
    // A node that is gone is noticed within seconds.
    ...{ RAY_health_check_period_ms: "1000", RAY_health_check_failure_threshold: "3" },
  };
  const started: ChildProcess[] = [];
  const start = async (args: readonly string[]): Promise<ChildProcess> => {
    // Nodes of one machine: the agents that have their jobs' logs need ports of their own.
    const [agentPort] = await freePorts(1);
    const common = [
      ...["--block", "--disable-usage-stats", "--object-store-memory", "80000000"],
      ...["--dashboard-agent-listen-port", String(agentPort)],
    ];
    const child = spawn(ray, ["start", ...args, ...common], { env, stdio: "ignore" });
    started.push(child);
    return child;
  };
  const address = `http://127.0.0.1:${dashboardPort}`;
  const client = new RayClient({ address, token });
  await start([
    ...["--head", "--node-ip-address", "127.0.0.2", "--port", String(port), "--num-cpus", "0"],
    ...["--dashboard-host", "127.0.0.1", "--dashboard-port", String(dashboardPort), "--temp-dir", folder],
  ]);
  const nodesAlive = async (): Promise<number> => (await client.nodes().catch(() => [])).length;
  await until("the head of Ray", async () => (await nodesAlive()) >= 1);
  let hosts = 2;
  return {
    ...{ address, tokenFile, client },
    async addNode() {
      hosts += 1;
      const host = `127.0.0.${hosts}`;
      const child = await start(["--address", `127.0.0.2:${port}`, "--node-ip-address", host, "--num-cpus", "1"]);
      // By its name: a node that has just been killed still counts among the others.
      await until("a node of Ray", async () => {
        const nodes = await client.nodes().catch(() => []);
        return nodes.some((resources) => `node:${host}` in resources);
      });
      return { kill: () => endTree(child, "SIGKILL") };
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(started.map((child) => endTree(child, "SIGTERM")));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (let waited = 0; waited < 120_000; waited += 500) {
    if (await holds()) return;
    await sleep(500);
  }
  throw new Error(`${what} did not come up within two minutes`);
}

/** Ends a process and all its descendants, each by its id. */
async function endTree({ pid }: ChildProcess, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
  if (pid === undefined) return;
  const all = await descendants(pid);
  const send = (to: number, which: NodeJS.Signals): void => {
    try {
      process.kill(to, which);
    } catch {
      // It is over already.
    }
  };
  if (signal === "SIGTERM") {
    send(pid, "SIGTERM");
    for (let waited = 0; waited < 8000 && all.some(isAlive); waited += 200) await sleep(200);
  }
  for (const member of all) send(member, "SIGKILL");
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function descendants(root: number): Promise<readonly number[]> {
  const children = new Map<number, number[]>();
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, "utf8").catch(() => "");
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const found = [root];
  for (const pid of found) found.push(...(children.get(pid) ?? []));
  return found;
}

async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve) => {
          server.listen({ host: "127.0.0.1", port: 0 }, () => resolve((server.address() as { port: number }).port));
        }),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
