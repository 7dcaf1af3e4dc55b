import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Alerts, type AlertsOptions } from "../../src/observability/alerts/alerts.ts";
import { RuleFile } from "../../src/observability/alerts/rule-file.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { createServiceMetrics } from "../../src/observability/metrics.ts";
import { createSystemMonitor } from "../../src/observability/system.ts";
import { createApp } from "../../src/serving/app.ts";
import { repositoryOf } from "../api/repository.ts";
import { tinyMetadata } from "../api/tiny-bundle.ts";

export const monitoring = fileURLToPath(new URL("../../monitoring", import.meta.url));

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** An API that listens on loopback, with its own copy of the folder monitoring/. */
export interface AlertApp extends AsyncDisposable {
  readonly url: string;
  readonly folder: string;
  readonly rules: string;
  readonly alertmanager: string;
  readonly lines: LogLine[];
  get(path: string): Promise<Answer>;
  /** A string goes as it is. */
  post(path: string, body: unknown): Promise<Answer>;
}

type AlertAppOptions = Partial<Omit<AlertsOptions, "rulesPath" | "alertmanagerPath" | "logger">>;

export async function startAlertApp({
  prometheusUrl = null,
  alertmanagerUrl = null,
  ...times
}: AlertAppOptions = {}): Promise<AlertApp> {
  const folder = await mkdtemp(join(tmpdir(), "alerts-"));
  await cp(monitoring, folder, { recursive: true });
  const rules = join(folder, "prometheus", "alert_rules.yml");
  const alertmanager = join(folder, "alertmanager", "alertmanager.yml");
  const lines: LogLine[] = [];
  const logger = createLogger({ stream: { write: (line) => void lines.push(JSON.parse(line) as LogLine) } });
  const system = createSystemMonitor();
  const bundle = { directory: "/none", metadata: { ...tinyMetadata(), modelSha256: "0".repeat(64) } };
  const alerts = new Alerts({
    rulesPath: rules,
    alertmanagerPath: alertmanager,
    prometheusUrl,
    alertmanagerUrl,
    logger,
    ...times,
  });
  const app = await createApp({
    models: repositoryOf({ bundle }),
    metrics: createServiceMetrics({ system, sources: [alerts.source] }),
    system,
    logger,
    version: "1.2.3",
    alerts,
  });
  const url = await app.listen({ host: "127.0.0.1", port: 0 });
  const send = async (path: string, init: RequestInit): Promise<Answer> => {
    const response = await fetch(`${url}${path}`, init);
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  return {
    url,
    folder,
    rules,
    alertmanager,
    lines,
    get: (path) => send(path, {}),
    post: (path, body) =>
      send(path, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: typeof body === "string" ? body : JSON.stringify(body),
      }),
    async [Symbol.asyncDispose]() {
      await app.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export interface FakeProgram extends AsyncDisposable {
  readonly url: string;
  /** What it does with each request; may be changed at any time. */
  behave(request: IncomingMessage, response: ServerResponse): void;
}

/** In the place of Prometheus or Alertmanager, for what the real ones do not do when asked to. */
export async function startFakeProgram(behave: FakeProgram["behave"]): Promise<FakeProgram> {
  const server = createServer((request, response) => {
    request.resume();
    fake.behave(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const fake: FakeProgram = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    behave,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return fake;
}

/** Answers as Prometheus and Alertmanager do that have loaded the files. */
export function obedient(files: Pick<AlertApp, "rules" | "alertmanager">): FakeProgram["behave"] {
  return ({ url = "" }, response) => {
    void (async () => {
      if (url.startsWith("/api/v1/rules")) {
        const { alerts } = new RuleFile(await readFile(files.rules, "utf8"));
        const rules = alerts.map(({ alert, expr }) => ({ name: alert, query: expr, health: "ok" }));
        response.end(JSON.stringify({ data: { groups: [{ rules }] } }));
      } else if (url.startsWith("/api/v2/status")) {
        response.end(JSON.stringify({ config: { original: await readFile(files.alertmanager, "utf8") } }));
      } else response.end("OK");
    })();
  };
}

export const failing =
  (status: number): FakeProgram["behave"] =>
  (_request, response) =>
    void response.writeHead(status).end("out of order");

/** Answers after a minute. */
export const slow: FakeProgram["behave"] = (_request, response) => {
  const timer = setTimeout(() => response.end("OK"), 60_000);
  response.on("close", () => clearTimeout(timer));
};
