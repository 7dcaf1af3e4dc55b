import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { isPipelineError, PipelineError } from "../../base/errors.ts";
import { storageError } from "../../base/storage-error.ts";
import type { MetricSource } from "../instruments.ts";
import { setCounter } from "../instruments.ts";
import type { Logger } from "../logger.ts";
import { AlertmanagerFile, type Recipients } from "./alertmanager-file.ts";
import { type CheckOutcome, checkAlertmanager, checkRules } from "./checkers.ts";
import { type EditResult, editFile } from "./edit-file.ts";
import { answeredStatus, createHttpClient, type HttpClient } from "./http-client.ts";
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
  /** How long a program may take to answer one question; default 5 s. */
  readonly answerTimeoutMs?: number;
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
    this.#options = { reloadTimeoutMs: 10_000, answerTimeoutMs: 5000, deliveryTimeoutMs: 20_000, ...options };
    const { prometheusUrl, alertmanagerUrl, answerTimeoutMs: timeoutMs } = this.#options;
    const client = (name: string, url: string | null) =>
      url === null ? undefined : createHttpClient(name, url, { timeoutMs });
    this.#prometheus = client("Prometheus", prometheusUrl);
    this.#alertmanager = client("Alertmanager", alertmanagerUrl);
  }

  /** Counts the changes that were asked for. */
  readonly source: MetricSource = ({ alert_config_changes_total }) => {
    const counts = Object.entries(this.#changes).map(([outcome, total]) => [{ outcome }, total] as const);
    setCounter(alert_config_changes_total, counts);
  };

  /** What the files say. @throws NOT_CONFIGURED, STORAGE_FAILED, CONFIG_INVALID */
  async config(): Promise<Record<string, unknown>> {
    const { rulesPath, alertmanagerPath } = this.#options;
    const [rules, alertmanager] = [await this.#rules(), await this.#alertmanagerFile()];
    return {
      recipients: alertmanager.recipients,
      thresholds: rules.thresholds,
      rules: rules.alerts,
      smtp: alertmanager.smtp,
      sources: { thresholds: rules.sources, recipients: alertmanager.sources },
      files: { rules: rulesPath, alertmanager: alertmanagerPath },
      prometheus_url: this.#prometheus?.url ?? null,
      alertmanager_url: this.#alertmanager?.url ?? null,
    };
  }

  /** @throws REQUEST_INVALID, ALERT_CHANGE_FAILED */
  async setRecipients(recipients: readonly string[] | Recipients, actor: Actor): Promise<Record<string, unknown>> {
    const of = (text: string): Recipients => {
      const { recipients: present } = new AlertmanagerFile(text);
      return Array.isArray(recipients) ? present : pick(present, Object.keys(recipients));
    };
    return this.#change("recipients", recipients, actor, (from) =>
      editFile({
        path: this.#options.alertmanagerPath,
        change: (text) => {
          from.value = of(text);
          return new AlertmanagerFile(text).withRecipients(recipients);
        },
        undo: (text, before) => new AlertmanagerFile(text).withRecipients(of(before)),
        check: async (path) => unchecked(await checkAlertmanager(path), "amtool"),
        activate: (text) => this.#follow(this.#alertmanager, "Alertmanager", () => this.#loaded(text)),
      }),
    );
  }

  /** @throws REQUEST_INVALID, ALERT_CHANGE_FAILED */
  async setThresholds(thresholds: Readonly<Record<string, number>>, actor: Actor): Promise<Record<string, unknown>> {
    const of = (text: string) => pick(new RuleFile(text).thresholds, Object.keys(thresholds));
    return this.#change("thresholds", thresholds, actor, (from) =>
      editFile({
        path: this.#options.rulesPath,
        change: (text) => {
          from.value = of(text);
          return new RuleFile(text).withThresholds(thresholds);
        },
        undo: (text, before) => new RuleFile(text).withThresholds(of(before)),
        check: async (path) => unchecked(await checkRules(path), "promtool"),
        activate: (text) => this.#follow(this.#prometheus, "Prometheus", () => this.#inForce(text)),
      }),
    );
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
          const { data } = await ask(client, "/api/v1/alertmanagers", alertmanagersAnswer);
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
    const alerts = await ask(client, "/api/v2/alerts?active=true&silenced=false&inhibited=false", activeAnswer);
    return alerts.map(({ labels, annotations, startsAt }) => ({
      name: labels.alertname ?? "",
      severity: labels.severity ?? "",
      summary: annotations.summary ?? "",
      since: startsAt,
    }));
  }

  /** Counts and logs every attempt: who asked, from what to what, how it ended. */
  async #change(
    what: string,
    to: unknown,
    actor: Actor,
    apply: (from: { value?: unknown }) => Promise<EditResult>,
  ): Promise<Record<string, unknown>> {
    const { logger } = this.#options;
    const from: { value?: unknown } = {};
    const line = () => ({ channel: "system", reqId: actor.requestId, actor, change: what, from: from.value, to });
    let change: EditResult;
    try {
      // Where one of them is missing nothing is changed.
      await this.config();
      change = await apply(from);
    } catch (thrown) {
      const error = storageError(thrown) ?? thrown;
      this.#changes[isPipelineError(error, "ALERT_CHANGE_FAILED") ? "rolled_back" : "rejected"]++;
      logger.warn({ ...line(), err: error }, "alert configuration not changed");
      throw error;
    }
    this.#changes.applied++;
    logger.info({ ...line(), ...change }, "alert configuration changed");
    const { outcome, inForce, unverified } = change;
    return { ...(await this.config()), change: { outcome, in_force: inForce, unverified } };
  }

  /**
   * Makes a program load its file, and looks whether it has. Returns what could not be verified: a program that is away
   * or starts loads the file by itself. @throws when it refuses the file, or runs something else
   */
  async #follow(client: HttpClient | undefined, name: string, verify: () => Promise<void>): Promise<readonly string[]> {
    if (client === undefined) return [`the address of ${name} is not configured: it was not told of the change`];
    try {
      await client.post("/-/reload");
    } catch (error) {
      // 502 to 504: a proxy without its program, or a program that still starts.
      if (!isPipelineError(error, "ALERTING_UNAVAILABLE") || (answeredStatus(error) ?? 502) < 502) throw error;
      return [`${error.message}: it was not told of the change and loads it at its next start or reload`];
    }
    try {
      await this.#until(verify);
      return [];
    } catch (error) {
      if (!isPipelineError(error, "ALERTING_UNAVAILABLE")) throw error;
      return [`${error.message}: it took the change, but could not be asked what it runs`];
    }
  }

  /** Prometheus has every alert of the text with its expression. */
  async #inForce(text: string): Promise<void> {
    const client = required(this.#prometheus, "Prometheus");
    const { data } = await ask(client, "/api/v1/rules?type=alert", rulesAnswer);
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
    const { config } = await ask(client, "/api/v2/status", statusAnswer);
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

/** An answer of the expected form. @throws ALERTING_UNAVAILABLE */
async function ask<T>(client: HttpClient, path: string, schema: z.ZodType<T>): Promise<T> {
  const answer = schema.safeParse(await client.getJson(path));
  if (answer.success) return answer.data;
  throw new PipelineError("ALERTING_UNAVAILABLE", `${client.name} answers ${path} in another form than expected`, {
    remedy: `is ${client.url} really the address of ${client.name}?`,
    cause: answer.error,
  });
}

/** Those that are there. */
function pick<T>(record: Readonly<Record<string, T>>, names: readonly string[]): Record<string, T> {
  return Object.fromEntries(names.flatMap((name) => (Object.hasOwn(record, name) ? [[name, record[name]!]] : [])));
}

function unchecked(outcome: CheckOutcome, program: string): readonly string[] {
  return outcome === "checked" ? [] : [`${program} is not installed here: the file was not checked before`];
}

function tokens(expression: string): string {
  return expression.replace(/[\s()]+/g, "");
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      throw new PipelineError("NOT_CONFIGURED", `there is no ${basename(path)}: alerts are not set up here`, {
        remedy: "name its place with monitoring.rules_file and monitoring.alertmanager_file",
        cause: error,
      });
    }
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
