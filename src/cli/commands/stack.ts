import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { expandHome } from "../../base/home-path.ts";
import { note, print, printJson, type Terminal, table } from "../display/terminal.ts";
import { exitCodes, usageError } from "../failure.ts";
import { onInterrupt } from "../interrupt.ts";
import { invocation } from "../invocation.ts";
import { checkServices, checkStack, type StackCheck, type StackUrls } from "../stack/checks.ts";
import { stackParts, supervise } from "../stack/parts.ts";
import { writeStackFiles } from "../stack/stack-files.ts";

interface StackArguments {
  readonly api: string;
  readonly prometheus: string;
  readonly alertmanager: string;
  readonly grafana: string;
  readonly folder: string;
  readonly source: string;
  readonly docker: boolean;
  readonly json?: boolean;
}

const marks = { ok: "ok", missing: "missing", problem: "PROBLEM" } as const satisfies Record<
  StackCheck["status"],
  string
>;

export function addStackCommand(program: Command, terminal: Terminal): void {
  const stack = program.command("stack").description("Prometheus, Alertmanager and Grafana beside the API");
  const withOptions = (command: Command): Command =>
    command
      .option("--api <url>", "address of the API", "http://127.0.0.1:8000")
      .option("--prometheus <url>", "address of Prometheus", "http://127.0.0.1:9090")
      .option("--alertmanager <url>", "address of Alertmanager", "http://127.0.0.1:9093")
      .option("--grafana <url>", "address of Grafana", "http://127.0.0.1:3000")
      .option("--folder <path>", "where a stack without containers keeps its data", expandHome, "runs/stack")
      .option("--source <path>", "folder of the configuration", expandHome, "monitoring")
      .option("--no-docker", "never use containers")
      .option("--json", "machine-readable output")
      .option("--debug", "show where an error comes from");
  withOptions(
    stack
      .command("up", { isDefault: true })
      .description(
        "start everything: docker compose where Docker is, else the programs found on the PATH, on loopback",
      ),
  ).action((options: StackArguments) => up(terminal, options));
  withOptions(stack.command("down").description("stop the containers (without Docker, Ctrl-C ends `stack up`)")).action(
    (options: StackArguments) => {
      if (!useDocker(options)) throw usageError("there are no containers here", "end `cifar stack up` with Ctrl-C");
      compose(terminal, ["down"]);
    },
  );
  withOptions(stack.command("status").description("which services answer")).action(async (options: StackArguments) => {
    report(terminal, await checkServices(urlsOf(options)), options);
  });
  withOptions(
    stack
      .command("test")
      .description("services, targets, rules, datasource, every dashboard query, and a test alert that has to arrive"),
  ).action(async (options: StackArguments) => {
    report(terminal, await checkStack(urlsOf(options), join(options.source, "grafana", "dashboards")), options);
  });
}

/** @throws USAGE_INVALID */
function projectUrlOf(text: string | undefined): string | undefined {
  if (text === undefined || text === "" || /^https?:\/\/[^\s?#]+$/.test(text)) return text || undefined;
  throw usageError(
    `PROJECT_URL ${JSON.stringify(text)} is no address of a web page`,
    "give one such as https://git.example.com/cifar/blob/main/, below which docs/runbooks.md can be read",
  );
}

async function up(terminal: Terminal, options: StackArguments): Promise<void> {
  if (useDocker(options)) {
    compose(terminal, ["up", "--detach"]);
    return;
  }
  const urls = urlsOf(options);
  const { env } = terminal;
  using interrupt = onInterrupt(terminal, "stopping …");
  const files = await writeStackFiles({
    source: options.source,
    target: options.folder,
    addresses: {
      apis: [hostOf(urls.api)],
      prometheus: hostOf(urls.prometheus),
      alertmanager: hostOf(urls.alertmanager),
    },
    smtp: {
      smarthost: env.SMTP_SMARTHOST ?? "127.0.0.1:1025",
      from: env.SMTP_FROM,
      username: env.SMTP_USERNAME,
      passwordFile: env.SMTP_PASSWORD_FILE,
      requireTls: env.SMTP_REQUIRE_TLS === "true",
    },
    projectUrl: projectUrlOf(env.PROJECT_URL),
  });
  for (const path of files.kept) {
    note(terminal, `${path} was changed by hand and is kept; as it would be now: ${path}.generated`);
  }
  const ports = {
    prometheus: Number(new URL(urls.prometheus).port),
    alertmanager: Number(new URL(urls.alertmanager).port),
    grafana: Number(new URL(urls.grafana).port),
  };
  const parts = stackParts(ports, options.folder, options.source, env.PATH ?? process.env.PATH ?? "");
  for (const part of parts.filter(({ command }) => command === undefined)) {
    note(terminal, `${part.name} is not installed; to get it: ${part.remedy}`);
  }
  const installed = parts.filter(({ command }) => command !== undefined);
  if (installed.length === 0) {
    terminal.status.code = exitCodes.failed;
    return;
  }
  const running = installed.map((part) => supervise(part, files, (news) => note(terminal, news)));
  try {
    for (const { name, url, readyPath } of installed) {
      const ready = await becomesReady(`${url}${readyPath}`, interrupt.signal);
      print(terminal, `${name.padEnd(13)} ${url}${ready ? "" : "  (not ready yet)"}`);
    }
    print(
      terminal,
      `the API with this stack:\n  ${invocation()} serve --set monitoring.prometheus_url=${urls.prometheus} \\`,
    );
    print(terminal, `    --set monitoring.alertmanager_url=${urls.alertmanager} \\`);
    print(terminal, `    --set monitoring.alertmanager_file=${files.alertmanager}`);
    if (env.SMTP_SMARTHOST === undefined)
      note(terminal, "mail goes to 127.0.0.1:1025: set SMTP_SMARTHOST to change it");
    print(terminal, "Ctrl-C stops");
    if (!interrupt.signal.aborted) {
      await new Promise<void>((resolve) => {
        interrupt.signal.addEventListener("abort", () => resolve(), { once: true });
      });
    }
  } finally {
    await Promise.all(running.map((part) => part[Symbol.asyncDispose]()));
    note(terminal, "stopped");
  }
}

async function becomesReady(url: string, signal: AbortSignal): Promise<boolean> {
  const until = performance.now() + 30_000;
  while (performance.now() < until && !signal.aborted) {
    // Not listening yet is what is waited for.
    if ((await fetch(url).catch(() => undefined))?.ok) return true;
    await sleep(200);
  }
  return false;
}

function report(terminal: Terminal, checks: readonly StackCheck[], { json }: StackArguments): void {
  const healthy = checks.every(({ status }) => status !== "problem");
  if (json === true) printJson(terminal, { healthy, checks });
  else
    for (const line of table(checks.map(({ name, status, detail }) => [marks[status], name, detail])))
      print(terminal, line);
  if (!healthy) terminal.status.code = exitCodes.failed;
}

function urlsOf({ api, prometheus, alertmanager, grafana }: StackArguments): StackUrls {
  const urls = { api, prometheus, alertmanager, grafana };
  for (const [name, url] of Object.entries(urls)) {
    if (!URL.canParse(url)) throw usageError(`--${name} is no address: ${url}`, "write http://HOST:PORT");
  }
  return urls;
}

function hostOf(url: string): string {
  return new URL(url).host;
}

function useDocker({ docker }: StackArguments): boolean {
  return docker && spawnSync("docker", ["compose", "version"], { stdio: "ignore" }).status === 0;
}

function compose(terminal: Terminal, args: readonly string[]): void {
  const { status } = spawnSync("docker", ["compose", ...args], { stdio: ["ignore", 2, 2] });
  if (status !== 0) terminal.status.code = exitCodes.failed;
}
