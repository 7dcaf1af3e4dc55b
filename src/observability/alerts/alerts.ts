import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { isPipelineError, PipelineError } from "../../base/errors.ts";
import { storageError } from "../../base/storage-error.ts";
import type { MetricSource } from "../instruments.ts";
import { setCounter } from "../instruments.ts";
import type { Logger } from "../logger.ts";
import { AlertmanagerFile, type Recipients } from "./alertmanager-file.ts";
import { checkAlertmanager, checkRules } from "./checkers.ts";
import { editFile } from "./edit-file.ts";
import { createHttpClient, type HttpClient } from "./http-client.ts";
import { RuleFile } from "./rule-file.ts";
import { probeSmtp } from "./smtp-probe.ts";

export interface AlertsOptions {
  /** The rule file that Prometheus loads. */
  readonly rulesPath: string;
  /** The configuration that Alertmanager loads. */
  readonly alertmanagerPath: string;
  /** Null: none is known; files are changed, and nothing is reloaded. */
  readonly prometheusUrl: string | null;
  readonly alertmanagerUrl: string | null;
  readonly logger: Logger;
  /** How long a program may take to show a reloaded file; default 10 s. */
  readonly reloadTimeoutMs?: number;
  /** How long a test alert may take to reach the mail server; default 20 s. */
  readonly deliveryTimeoutMs?: number;
}

interface Actor {
  readonly name: string;
  readonly requestId: string;
}

interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly message: string;
}

interface TestReport {
  readonly ok: boolean;
  readonly message: string;
  readonly checks: readonly Check[];
}

const rulesAnswer = z.object({
  data: z.object({
    groups: z.array(
      z.object({ rules: z.array(z.object({ name: z.string(), query: z.string(), health: z.string().optional() })) }),
    ),
  }),
});
const statusAnswer = z.object({ config: z.object({ original: z.string() }) });
const alertmanagersAnswer = z.object({
  data: z.object({ activeAlertmanagers: z.array(z.object({ url: z.string() })) }),
});
const activeAnswer = z.array(
  z.object({
    labels: z.record(z.string(), z.string()),
    annotations: z.record(z.string(), z.string()),
    startsAt: z.string(),
  }),
);

/** Behind /alerts/*: the files are the truth, and what runs is made to follow them. */
export class Alerts {
  readonly #options: Required<AlertsOptions>;
  readonly #prometheus: HttpClient | undefined;
  readonly #alertmanager: HttpClient | undefined;
  readonly #changes = { applied: 0, rejected: 0, rolled_back: 0 };

  constructor(options: AlertsOptions) {
    this.#options = { reloadTimeoutMs: 10_000, deliveryTimeoutMs: 20_000, ...options };
    const { prometheusUrl, alertmanagerUrl } = options;
    this.#prometheus = prometheusUrl === null ? undefined : createHttpClient("Prometheus", prometheusUrl);
    this.#alertmanager = alertmanagerUrl === null ? undefined : createHttpClient("Alertmanager", alertmanagerUrl);
  }

  /** Counts the changes that were asked for. */
  readonly source: MetricSource = ({ alert_config_changes_total }) => {
    const counts = Object.entries(this.#changes).map(([outcome, total]) => [{ outcome }, total] as const);
    setCounter(alert_config_changes_total, counts);
  };

  /** What the files say. @throws STORAGE_FAILED, CONFIG_INVALID */
  async config(): Promise<Record<string, unknown>> {
    const { rulesPath, alertmanagerPath } = this.#options;
    const [rules, alertmanager] = [await this.#rules(), await this.#alertmanagerFile()];
    return {
      recipients: alertmanager.recipients,
      thresholds: rules.thresholds,
      rules: rules.alerts,
      smtp: alertmanager.smtp,
      files: { rules: rulesPath, alertmanager: alertmanagerPath },
      prometheus_url: this.#prometheus?.url ?? null,
      alertmanager_url: this.#alertmanager?.url ?? null,
    };
  }

  /** @throws REQUEST_INVALID, ALERT_CHANGE_FAILED */
  async setRecipients(recipients: readonly string[] | Recipients, actor: Actor): Promise<Record<string, unknown>> {
    await this.#change("recipients", recipients, actor, () =>
      editFile({
        path: this.#options.alertmanagerPath,
        change: (text) => new AlertmanagerFile(text).withRecipients(recipients),
        check: async (path) => void (await checkAlertmanager(path)),
        activate: (text) => this.#reloadAlertmanager(text),
      }),
    );
    return this.config();
  }

  /** @throws REQUEST_INVALID, ALERT_CHANGE_FAILED */
  async setThresholds(thresholds: Readonly<Record<string, number>>, actor: Actor): Promise<Record<string, unknown>> {
    await this.#change("thresholds", thresholds, actor, () =>
      editFile({
        path: this.#options.rulesPath,
        change: (text) => new RuleFile(text).withThresholds(thresholds),
        check: async (path) => void (await checkRules(path)),
        activate: (text) => this.#reloadPrometheus(text),
      }),
    );
    return this.config();
  }

  /** Looks at files, programs and the mail server; sends nothing. */
  async check(): Promise<TestReport> {
    const { rulesPath, alertmanagerPath } = this.#options;
    const checks = await Promise.all([
      attempt("rule file", async () => {
        const { alerts } = await this.#rules();
        const outcome = await checkRules(rulesPath);
        return `${alerts.length} alerts${outcome === "absent" ? " (promtool is not installed here)" : ", promtool agrees"}`;
      }),
      attempt("alertmanager file", async () => {
        const severities = Object.keys((await this.#alertmanagerFile()).recipients);
        const outcome = await checkAlertmanager(alertmanagerPath);
        const by = outcome === "absent" ? " (amtool is not installed here)" : ", amtool agrees";
        return `recipients for ${severities.join(", ")}${by}`;
      }),
      attempt("prometheus", async () => {
        const client = required(this.#prometheus, "Prometheus");
        await client.get("/-/ready");
        await this.#inForce((await this.#rules()).source);
        // After a reload Prometheus looks for its Alertmanager anew, which takes seconds.
        await this.#until(async () => {
          const { data } = alertmanagersAnswer.parse(await client.getJson("/api/v1/alertmanagers"));
          if (data.activeAlertmanagers.length === 0) throw new Error("it has found no Alertmanager to send alerts to");
        });
        return "ready, has loaded the file, knows an Alertmanager";
      }),
      attempt("alertmanager", async () => {
        await required(this.#alertmanager, "Alertmanager").get("/-/ready");
        await this.#loaded((await this.#alertmanagerFile()).source);
        return "ready, has loaded the file";
      }),
      attempt("mail server", async () => {
        const { smarthost } = (await this.#alertmanagerFile()).smtp;
        if (smarthost === null) throw new Error("smtp_smarthost is not set");
        return `${smarthost}: ${await probeSmtp(smarthost)}`;
      }),
    ]);
    const ok = checks.every((check) => check.ok);
    return { ok, message: ok ? "alerts can be delivered" : "alerts can not be delivered: see the checks", checks };
  }

  /** Sends an alert through Alertmanager to every recipient and waits until the mail server has taken it. */
  async sendTest(actor: Actor): Promise<TestReport> {
    const id = randomBytes(4).toString("hex");
    let before: Deliveries | undefined;
    const accepted = await attempt("alertmanager", async () => {
      const client = required(this.#alertmanager, "Alertmanager");
      before = await deliveries(client);
      const now = Date.now();
      await client.post("/api/v2/alerts", [
        {
          labels: { alertname: "CifarTestAlert", severity: "warning", service: "cifar10-api", test_id: id },
          annotations: {
            summary: "Test Alert",
            description: `Test alert ${id}, asked for by ${actor.name}: alerts reach this address`,
          },
          startsAt: new Date(now).toISOString(),
          endsAt: new Date(now + 60_000).toISOString(),
        },
      ]);
      return `took the test alert ${id}`;
    });
    const delivered = await attempt("delivery", async () => {
      if (!accepted.ok || before === undefined) throw new Error("not tried: Alertmanager did not take the alert");
      return this.#delivered(required(this.#alertmanager, "Alertmanager"), before);
    });
    const checks = [accepted, delivered];
    const ok = checks.every((check) => check.ok);
    this.#options.logger.info({ channel: "system", reqId: actor.requestId, actor, testId: id, ok }, "test alert sent");
    return { ok, message: ok ? `test alert ${id} was delivered` : `test alert ${id} was not delivered`, checks };
  }

  /** What fires now. */
  async active(): Promise<readonly { name: string; severity: string; summary: string; since: string }[]> {
    const client = required(this.#alertmanager, "Alertmanager");
    const alerts = activeAnswer.parse(
      await client.getJson("/api/v2/alerts?active=true&silenced=false&inhibited=false"),
    );
    return alerts.map(({ labels, annotations, startsAt }) => ({
      name: labels.alertname ?? "",
      severity: labels.severity ?? "",
      summary: annotations.summary ?? "",
      since: startsAt,
    }));
  }

  /** Counts and logs every attempt, with who asked. */
  async #change(what: string, value: unknown, actor: Actor, apply: () => Promise<string>): Promise<void> {
    const { logger } = this.#options;
    try {
      const outcome = await apply();
      this.#changes.applied++;
      logger.info(
        { channel: "system", reqId: actor.requestId, actor, change: what, value, outcome },
        "alert configuration changed",
      );
    } catch (thrown) {
      const error = storageError(thrown) ?? thrown;
      this.#changes[isPipelineError(error, "ALERT_CHANGE_FAILED") ? "rolled_back" : "rejected"]++;
      logger.warn(
        { channel: "system", reqId: actor.requestId, actor, change: what, value, err: error },
        "alert configuration not changed",
      );
      throw error;
    }
  }

  async #reloadPrometheus(text: string): Promise<void> {
    const client = this.#prometheus;
    if (client === undefined) return;
    await client.post("/-/reload");
    await this.#until(() => this.#inForce(text));
  }

  async #reloadAlertmanager(text: string): Promise<void> {
    const client = this.#alertmanager;
    if (client === undefined) return;
    await client.post("/-/reload");
    await this.#until(() => this.#loaded(text));
  }

  /** Prometheus has every alert of the text with its expression. */
  async #inForce(text: string): Promise<void> {
    const client = required(this.#prometheus, "Prometheus");
    const { data } = rulesAnswer.parse(await client.getJson("/api/v1/rules?type=alert"));
    const loaded = new Map(data.groups.flatMap(({ rules }) => rules.map((rule) => [rule.name, rule] as const)));
    for (const { alert, expr } of new RuleFile(text).alerts) {
      const rule = loaded.get(alert);
      if (rule === undefined) throw new Error(`Prometheus has not loaded the alert ${alert}`);
      // Prometheus prints expressions its own way: only numbers and names are compared.
      if (tokens(rule.query) !== tokens(expr)) throw new Error(`Prometheus has another expression for ${alert}`);
      if (rule.health === "err") throw new Error(`Prometheus can't evaluate ${alert}`);
    }
  }

  async #loaded(text: string): Promise<void> {
    const client = required(this.#alertmanager, "Alertmanager");
    const { config } = statusAnswer.parse(await client.getJson("/api/v2/status"));
    const [running, wanted] = [new AlertmanagerFile(config.original), new AlertmanagerFile(text)];
    if (JSON.stringify(running.recipients) !== JSON.stringify(wanted.recipients)) {
      throw new Error("Alertmanager has other recipients");
    }
  }

  async #until(verify: () => Promise<void>): Promise<void> {
    const deadline = performance.now() + this.#options.reloadTimeoutMs;
    for (;;) {
      try {
        return await verify();
      } catch (error) {
        if (performance.now() > deadline) throw error;
        await sleep(100);
      }
    }
  }

  async #delivered(client: HttpClient, before: Deliveries): Promise<string> {
    const deadline = performance.now() + this.#options.deliveryTimeoutMs;
    while (performance.now() < deadline) {
      const now = await deliveries(client);
      if (now.failed > before.failed) {
        throw new Error("the mail server did not take the mail: see Alertmanager's log and GET /alerts/test");
      }
      if (now.requests > before.requests) return "the mail server took the mail";
      await sleep(200);
    }
    throw new Error(`no mail left within ${this.#options.deliveryTimeoutMs / 1000} s: is it silenced or inhibited?`);
  }

  async #rules(): Promise<RuleFile> {
    return new RuleFile(await readText(this.#options.rulesPath));
  }

  async #alertmanagerFile(): Promise<AlertmanagerFile> {
    return new AlertmanagerFile(await readText(this.#options.alertmanagerPath));
  }
}

interface Deliveries {
  readonly requests: number;
  readonly failed: number;
}

/** How many mails Alertmanager has tried to hand over, and in vain. */
async function deliveries(client: HttpClient): Promise<Deliveries> {
  const text = await client.get("/metrics");
  const sum = (name: string): number =>
    [...text.matchAll(new RegExp(`^${name}\\{integration="email"[^}]*\\} (\\S+)$`, "gm"))].reduce(
      (total, [, value]) => total + Number(value),
      0,
    );
  return {
    requests: sum("alertmanager_notification_requests_total"),
    failed: sum("alertmanager_notification_requests_failed_total"),
  };
}

function tokens(expression: string): string {
  return expression.replace(/[\s()]+/g, "");
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw (
      storageError(error, path) ??
      new PipelineError("CONFIG_UNREADABLE", `${path} can't be read`, { remedy: "set monitoring.*_file", cause: error })
    );
  }
}

function required(client: HttpClient | undefined, name: string): HttpClient {
  if (client !== undefined) return client;
  throw new PipelineError("NOT_CONFIGURED", `the address of ${name} is not configured`, {
    remedy: `set monitoring.${name.toLowerCase()}_url`,
  });
}

async function attempt(name: string, work: () => Promise<string>): Promise<Check> {
  try {
    return { name, ok: true, message: await work() };
  } catch (error) {
    return { name, ok: false, message: error instanceof Error ? error.message : String(error) };
  }
}
