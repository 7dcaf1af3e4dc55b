import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import type { StackFiles } from "./stack-files.ts";

/** One program of a stack without containers. */
export interface StackPart {
  readonly name: "prometheus" | "alertmanager" | "grafana";
  /** Undefined: not installed. */
  readonly command: string | undefined;
  readonly url: string;
  readonly readyPath: string;
  readonly remedy: string;
  readonly args: (files: StackFiles) => readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface StackPorts {
  readonly prometheus: number;
  readonly alertmanager: number;
  readonly grafana: number;
}

/** Where they are in the packages of Debian and in the archives of their makers. */
export function stackParts(ports: StackPorts, folder: string, source: string, path: string): readonly StackPart[] {
  const find = (...names: readonly string[]): string | undefined =>
    path
      .split(delimiter)
      .flatMap((part) => names.map((name) => join(part, name)))
      .find(isExecutable);
  const url = (port: number): string => `http://127.0.0.1:${port}`;
  const debian = "apt-get install -y --no-install-recommends prometheus prometheus-alertmanager";
  return [
    {
      name: "alertmanager",
      command: find("prometheus-alertmanager", "alertmanager"),
      url: url(ports.alertmanager),
      readyPath: "/-/ready",
      remedy: debian,
      args: (files) => [
        `--config.file=${files.alertmanager}`,
        `--storage.path=${join(folder, "alertmanager")}`,
        `--web.listen-address=127.0.0.1:${ports.alertmanager}`,
        // Empty: else it listens for others on all addresses.
        "--cluster.listen-address=",
      ],
    },
    {
      name: "prometheus",
      command: find("prometheus"),
      url: url(ports.prometheus),
      readyPath: "/-/ready",
      remedy: debian,
      args: (files) => [
        `--config.file=${files.prometheus}`,
        `--storage.tsdb.path=${join(folder, "prometheus")}`,
        "--storage.tsdb.retention.time=7d",
        `--web.listen-address=127.0.0.1:${ports.prometheus}`,
        "--web.enable-lifecycle",
        // For the snapshots of `cifar backup`.
        "--web.enable-admin-api",
      ],
    },
    {
      name: "grafana",
      command: find("grafana-server"),
      url: url(ports.grafana),
      readyPath: "/api/health",
      remedy: "install Grafana from its maker (grafana.com/docs), or open /dashboard of the API instead",
      args: () => [...(isExecutable("/usr/share/grafana/bin/grafana") ? ["--homepath=/usr/share/grafana"] : [])],
      env: {
        GF_SERVER_HTTP_ADDR: "127.0.0.1",
        GF_SERVER_HTTP_PORT: String(ports.grafana),
        GF_PATHS_DATA: resolve(folder, "grafana"),
        GF_PATHS_LOGS: resolve(folder, "grafana"),
        GF_PATHS_PROVISIONING: resolve(source, "grafana", "provisioning"),
        GF_ANALYTICS_REPORTING_ENABLED: "false",
        GF_ANALYTICS_CHECK_FOR_UPDATES: "false",
        GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES: "false",
        GF_NEWS_NEWS_FEED_ENABLED: "false",
        GF_PLUGINS_PREINSTALL_DISABLED: "true",
        GF_PLUGINS_PUBLIC_KEY_RETRIEVAL_DISABLED: "true",
        PROMETHEUS_URL: url(ports.prometheus),
        ALERTMANAGER_URL: url(ports.alertmanager),
        DASHBOARDS_PATH: resolve(source, "grafana", "dashboards"),
      },
    },
  ];
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export interface RunningPart extends AsyncDisposable {
  readonly name: string;
  readonly pid: number | undefined;
}

/** Runs a part and starts it again, ever more slowly, when it ends by itself. Disposing ends it, gently at first. */
export function supervise(part: StackPart, files: StackFiles, onNews: (news: string) => void): RunningPart {
  let stopping = false;
  let failures = 0;
  let timer: NodeJS.Timeout | undefined;
  let current: { readonly pid: number | undefined; kill(signal: NodeJS.Signals): void } | undefined;
  let ended = Promise.resolve();
  const start = (): void => {
    const startedAt = performance.now();
    const child = spawn(part.command!, [...part.args(files)], {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, ...part.env },
    });
    let last = "";
    child.stderr.on("data", (chunk: Buffer) => {
      last = chunk.toString().trim().split("\n").at(-1) ?? last;
    });
    current = { pid: child.pid, kill: (signal) => void child.kill(signal) };
    ended = new Promise((resolveEnd) => {
      child.once("error", (error) => {
        last = error.message;
      });
      child.once("close", (code) => {
        resolveEnd();
        if (stopping) return;
        failures = performance.now() - startedAt > 60_000 ? 1 : failures + 1;
        const delayMs = Math.min(30_000, 500 * 2 ** failures);
        onNews(`${part.name} ended (${code ?? "killed"}), starts again in ${delayMs / 1000} s: ${last.slice(0, 300)}`);
        timer = setTimeout(start, delayMs);
      });
    });
  };
  start();
  return {
    name: part.name,
    get pid() {
      return current?.pid;
    },
    async [Symbol.asyncDispose]() {
      stopping = true;
      clearTimeout(timer);
      current?.kill("SIGTERM");
      const hard = setTimeout(() => current?.kill("SIGKILL"), 10_000);
      await ended;
      clearTimeout(hard);
    },
  };
}
