import { spawnSync } from "node:child_process";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { parse } from "yaml";
import { dashboards } from "../../monitoring/grafana/source/panel-table.ts";
import { writeStackFiles } from "../../src/cli/stack/stack-files.ts";
import { Alerts } from "../../src/observability/alerts/alerts.ts";
import { RuleFile } from "../../src/observability/alerts/rule-file.ts";
import type { MetricSource } from "../../src/observability/instruments.ts";
import { openServiceLog } from "../../src/observability/logs/service-log.ts";
import { metricTable } from "../../src/observability/metric-table.ts";
import { createServiceMetrics } from "../../src/observability/metrics.ts";
import { createProcessMetrics } from "../../src/observability/process-metrics.ts";
import { createSystemMonitor } from "../../src/observability/system.ts";
import { trackingProbe } from "../../src/observability/tracking-probe.ts";
import { createTrainingReporter, trainingMetrics } from "../../src/observability/training-progress.ts";
import { type RunningServer, type ServerOptions, startServer } from "../../src/serving/server.ts";
import { tinyMetadata, writeTinyBundle } from "../api/tiny-bundle.ts";
import { type MailSink, startMailSink } from "./mail-sink.ts";
import {
  freePort,
  hasAlertmanager,
  hasPrometheus,
  type Program,
  remedy,
  startAlertmanager,
  startPrometheus,
  waitFor,
} from "./programs.ts";

// The whole way with the real programs: load -> metric -> rule -> firing -> route -> mail -> resolved. Thresholds, routes,
// texts and inhibitions are those of monitoring/; only the times are short.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

const source = fileURLToPath(new URL("../../monitoring", import.meta.url));
const here = hasPrometheus && hasAlertmanager;

/** `for: 2m` and windows of minutes become seconds. */
function hasten(text: string): string {
  return (
    text
      .replace(/for: \d+[smh]/g, "for: 1s")
      // Longer than Prometheus needs for its first look at its targets.
      .replace(/(alert: APIServiceDown[\s\S]*?for: )1s/, (_, head: string) => `${head}5s`)
      .replace(/\[(?:1m|5m|10m)\]/g, "[6s]")
      .replace(/interval: \d+[smh]/g, "interval: 1s")
      .replace(/(scrape|evaluation)_interval: \d+s/g, "$1_interval: 1s")
      .replace(/scrape_timeout: \d+s/g, "scrape_timeout: 1s")
      .replace(/group_wait: \d+s/g, "group_wait: 2s")
      .replace(/group_interval: \d+[sm]/g, "group_interval: 2s")
  );
}

async function hastenFile(path: string): Promise<void> {
  await writeFile(path, hasten(await readFile(path, "utf8")));
}

interface RunningAlert {
  readonly labels: Readonly<Record<string, string>>;
  readonly status: {
    readonly state: string;
    readonly inhibitedBy: readonly string[];
    readonly silencedBy: readonly string[];
  };
}

/** What this machine lacks: a GPU. */
const absentParts: MetricSource = async (instruments) => {
  // After the system's own source, which clears what it does not find.
  await sleep(50);
  instruments.system_gpu_usage_percent.set({ gpu: "0" }, 1);
  instruments.system_gpu_memory_usage_percent.set({ gpu: "0" }, 1);
};

const projectUrl = "https://git.example.com/cifar/blob/main/";

describe.skipIf(!here)(`the monitoring stack${here ? "" : ` (${remedy})`}`, () => {
  let root: string;
  let sink: MailSink;
  let prometheus: Program;
  let alertmanager: Program;
  let urls: { readonly prometheus: string; readonly alertmanager: string };
  let files: { readonly prometheus: string; readonly rules: string; readonly alertmanager: string };
  let quick: RunningServer;
  let slow: RunningServer;
  let slowOptions: ServerOptions;
  let image: Buffer;
  let confident: string;
  const startedAt = performance.now();

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "stack-"));
    image = await sharp({ create: { width: 32, height: 32, channels: 3, background: "#808080" } })
      .png()
      .toBuffer();
    sink = await startMailSink();
    const ports = {
      prometheus: await freePort(),
      alertmanager: await freePort(),
      quick: await freePort(),
      slow: await freePort(),
    };
    urls = {
      prometheus: `http://127.0.0.1:${ports.prometheus}`,
      alertmanager: `http://127.0.0.1:${ports.alertmanager}`,
    };
    await cp(source, join(root, "monitoring"), { recursive: true });
    for (const name of ["alert_rules", "recording_rules", "prometheus"]) {
      await hastenFile(join(root, "monitoring", "prometheus", `${name}.yml`));
    }
    await hastenFile(join(root, "monitoring", "alertmanager", "alertmanager.yml"));
    // The machine that tests may be fuller and busier than the alerts like: they are tested with thresholds of their own.
    const rulesPath = join(root, "monitoring", "prometheus", "alert_rules.yml");
    const quiet = { disk_threshold: 0, memory_threshold: 100, cpu_threshold: 100 };
    await writeFile(rulesPath, new RuleFile(await readFile(rulesPath, "utf8")).withThresholds(quiet));
    files = await writeStackFiles({
      source: join(root, "monitoring"),
      target: join(root, "run"),
      addresses: {
        apis: [`127.0.0.1:${ports.quick}`, `127.0.0.1:${ports.slow}`],
        prometheus: `127.0.0.1:${ports.prometheus}`,
        alertmanager: `127.0.0.1:${ports.alertmanager}`,
      },
      smtp: { smarthost: sink.address, requireTls: false },
      projectUrl,
    });

    const samples = {
      probabilities: Array.from({ length: 50 }, (_, i) => Array.from({ length: 10 }, (_, c) => ((i * c) % 7) / 42)),
      features: Array.from({ length: 50 }, (_, i) => Array.from({ length: 15 }, (_, d) => Math.sin(i * (d + 1)))),
    };
    const uncertain = await writeTinyBundle(join(root, "models"), { calibration: { temperature: 50 } });
    const sure = await writeTinyBundle(join(root, "models"), {
      name: "tiny_trainer_20260102-000000",
      reference: { ...tinyMetadata().reference, samples },
      calibration: { temperature: 0.001 },
    });
    confident = sure.metadata.name;
    const quietSink = { write: () => true };
    const log = openServiceLog({
      directory: join(root, "logs"),
      stdout: quietSink,
      stderr: quietSink,
      maxBytes: 20_000,
    });
    const { logger } = log;
    const processMetrics = createProcessMetrics({ version: "1.2.3" });
    const progress = join(root, "progress.json");
    const reporter = await createTrainingReporter({ path: progress, onProblem: () => undefined });
    const trials = { running: 1, completed: 2, pruned: 3, failed: 0 };
    reporter.report({ epoch: 1, trainLoss: 1, tuning: { trials, bestValue: 0.5 } });
    await reporter.end("completed");
    const alerts = new Alerts({
      rulesPath: files.rules,
      alertmanagerPath: files.alertmanager,
      prometheusUrl: urls.prometheus,
      alertmanagerUrl: urls.alertmanager,
      logger,
    });
    quick = await startServer({
      bundle: uncertain.directory,
      port: ports.quick,
      workers: 1,
      logger,
      alerts,
      metricSources: [
        alerts.source,
        log.source,
        processMetrics.source,
        trainingMetrics(progress),
        absentParts,
        trackingProbe(`http://127.0.0.1:${ports.slow}`),
      ],
      drift: { window: 400, intervalSeconds: 0 },
    });
    slowOptions = {
      bundle: sure.directory,
      port: ports.slow,
      workers: 1,
      window: "fixed",
      maxDelayMs: 3000,
      maxBatchSize: 64,
      logger,
    };
    slow = await startServer(slowOptions);
    alertmanager = await startAlertmanager({
      config: files.alertmanager,
      storage: join(root, "alertmanager"),
      port: ports.alertmanager,
    });
    prometheus = await startPrometheus({
      config: files.prometheus,
      storage: join(root, "prometheus"),
      port: ports.prometheus,
    });
    await waitFor("both targets up", async () => (await query('sum(up{job="cifar10-api"})')) === 2);
    // On a slow machine the API counts as down until Prometheus' first look at it: that has to be over, and told.
    await waitFor("no alert", async () => (await alertsNow()).length === 0);
    await sleep(5000);
  });

  afterAll(async () => {
    process.stdout.write(`monitoring stack, end to end: ${((performance.now() - startedAt) / 1000).toFixed(0)} s\n`);
    await Promise.all([prometheus?.[Symbol.asyncDispose](), alertmanager?.[Symbol.asyncDispose]()]);
    await Promise.all([quick?.close(), slow?.close(), sink?.[Symbol.asyncDispose]()]);
    await rm(root, { recursive: true, force: true });
  });

  async function query(expression: string): Promise<number | undefined> {
    const response = await fetch(`${urls.prometheus}/api/v1/query?query=${encodeURIComponent(expression)}`);
    const answer = (await response.json()) as { data: { result: { value: [number, string] }[] } };
    const value = answer.data.result[0]?.value[1];
    return value === undefined ? undefined : Number(value);
  }

  async function post(path: string, body: unknown): Promise<{ status: number; body: Record<string, unknown> }> {
    const response = await fetch(`${quick.url}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-request-id": "test-change" },
      body: JSON.stringify(body),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  }

  async function load(model: string): Promise<void> {
    const response = await fetch(`${quick.url}/v2/repository/models/${model}/load`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "{}",
    });
    expect(response.status).toBe(200);
  }

  async function rulesOf(name: string): Promise<string[]> {
    const text = await readFile(join(root, "monitoring", "prometheus", `${name}.yml`), "utf8");
    const { groups } = parse(text) as { groups: { rules: { expr: string }[] }[] };
    return groups.flatMap(({ rules }) => rules.map(({ expr }) => expr));
  }

  function imageForm(): FormData {
    const form = new FormData();
    form.append("file", new Blob([new Uint8Array(image)]), "image.png");
    return form;
  }

  async function predict(url: string, path = "/predict"): Promise<number> {
    return (await fetch(`${url}${path}`, { method: "POST", body: imageForm() })).status;
  }

  async function alertsNow(): Promise<RunningAlert[]> {
    return (await (await fetch(`${urls.alertmanager}/api/v2/alerts`)).json()) as RunningAlert[];
  }

  const named = (name: string) => async () => (await alertsNow()).find(({ labels }) => labels.alertname === name);

  /** The mail that says that an alert fires, and later the one that says that it ended. */
  const mailOf = (name: string, status: "FIRING" | "RESOLVED", since = 0) =>
    sink.find(`${name} ${status}`, (mail) => {
      return sink.mails.indexOf(mail) >= since && mail.parts["text/plain"]?.includes(`${status}: ${name} `) === true;
    });

  it("sends a mail with headers and both bodies when half of the requests fail, and one when they no longer do", async () => {
    for (let i = 0; i < 30; i++) await fetch(`${quick.url}/no-such-page`);
    const firing = await mailOf("HighAPIErrorRate", "FIRING");
    expect(firing.from).toBe("cifar10-alerts@example.com");
    expect(firing.to).toEqual(["oncall@example.com"]);
    expect(firing.headers).toMatchObject({
      // On a slow machine the start of the API is told of in the same mail.
      subject: expect.stringMatching(/^\[FIRING:\d\] critical (HighAPIErrorRate|\d alerts) \(cifar10-api\)$/),
      to: "oncall@example.com",
      from: "cifar10-alerts@example.com",
    });
    const { "text/plain": text, "text/html": html } = firing.parts;
    expect(text).toMatch(
      /^FIRING: HighAPIErrorRate \(critical\)\r?\nHigh API Error Rate Detected\r?\nAPI error rate is [\d.]+% of/m,
    );
    expect(text).toContain(`what to do: ${projectUrl}docs/runbooks.md#highapierrorrate`);
    expect(html).toContain(`<a href="${projectUrl}docs/runbooks.md#highapierrorrate">`);
    expect(text).not.toContain("project_url");
    expect(html).toContain("<h2");
    expect(html).toMatch(/FIRING: High API Error Rate Detected/);
    expect(html).toMatch(/API error rate is [\d.]+%/);

    for (let i = 0; i < 60; i++) await fetch(`${quick.url}/classes`);
    const resolved = await mailOf("HighAPIErrorRate", "RESOLVED");
    expect(resolved.headers.subject).toMatch(/^\[RESOLVED\] critical (HighAPIErrorRate|\d alerts) \(cifar10-api\)$/);
    expect(resolved.parts["text/plain"]).toMatch(/ended \d{4}-/);
    expect(resolved.parts["text/html"]).toContain("#2e7d32");
  });

  it("warns the team of low confidence and of slow answers, together where they come together", async () => {
    const traffic = new AbortController();
    const working = (async () => {
      while (!traffic.signal.aborted) {
        // Two a second with little confidence, and some that wait three seconds for their batch.
        await Promise.all([predict(quick.url), ...Array.from({ length: 8 }, () => predict(slow.url))]);
      }
    })();
    try {
      const slowMail = await mailOf("HighResponseTime", "FIRING");
      const unsure = await mailOf("LowModelConfidence", "FIRING");
      expect(slowMail.to).toEqual(["team@example.com"]);
      expect(unsure.parts["text/plain"]).toMatch(/mean confidence of recent predictions is 0\.[0-5]/);
      // Grouping: a mail tells of all that its group has, by service and severity.
      const both = await sink.find("both in one mail", ({ parts }) => {
        const text = parts["text/plain"] ?? "";
        return text.includes("FIRING: HighResponseTime ") && text.includes("FIRING: LowModelConfidence ");
      });
      // On a busy machine there are others beside them.
      expect(both.headers.subject).toMatch(/^\[FIRING:(\d)\] warning \1 alerts \(cifar10-api\)$/);
    } finally {
      traffic.abort();
      await working;
    }
    // A model that is sure of itself, asked often enough.
    const model = `/predict?model=${confident}`;
    await load(confident);
    for (let i = 0; i < 200; i++) expect(await predict(quick.url, model)).toBe(200);
    await mailOf("LowModelConfidence", "RESOLVED");
    await mailOf("HighResponseTime", "RESOLVED");
  });

  it("tells of an instance that is down, keeps its other troubles out of the mail, and tells when it is back", async () => {
    const before = sink.mails.length;
    await slow.close();
    const down = await mailOf("APIServiceDown", "FIRING");
    expect(down.to).toEqual(["oncall@example.com"]);
    expect(down.parts["text/plain"]).toContain(`instance: ${new URL(slow.url).host}`);
    // Inhibition: the error rate is high again, and nobody is told.
    for (let i = 0; i < 500; i++) await fetch(`${quick.url}/no-such-page`);
    const suppressed = await waitFor("HighAPIErrorRate inhibited", async () => {
      const alert = await named("HighAPIErrorRate")();
      return alert?.status.state === "suppressed" ? alert : undefined;
    });
    expect(suppressed.status.inhibitedBy).toHaveLength(1);
    await sleep(4000);
    expect(
      sink.mails.slice(before).filter(({ parts }) => parts["text/plain"]?.includes("FIRING: HighAPIErrorRate")),
    ).toEqual([]);
    for (let i = 0; i < 700; i++) await fetch(`${quick.url}/classes`);
    await waitFor("HighAPIErrorRate over", async () => (await named("HighAPIErrorRate")()) === undefined);
    slow = await startServer(slowOptions);
    await mailOf("APIServiceDown", "RESOLVED", before);
  });

  it("puts thresholds and recipients that are changed through the API in force", async () => {
    const rulesBefore = await readFile(files.rules, "utf8");
    const changed = await post("/alerts/recipients", { critical: ["night@example.org", "day@example.org"] });
    expect(changed).toMatchObject({
      status: 200,
      body: { recipients: { critical: ["night@example.org", "day@example.org"], warning: ["team@example.com"] } },
    });
    const before = sink.mails.length;
    expect(await post("/alerts/thresholds", { disk_threshold: 100 })).toMatchObject({
      status: 200,
      body: { thresholds: { disk_threshold: 100, cpu_threshold: 100 } },
    });
    const mail = await mailOf("LowDiskSpace", "FIRING", before);
    expect(mail.to).toEqual(["day@example.org", "night@example.org"]);
    // Everything but the number is as it was, comments included.
    const rulesAfter = await readFile(files.rules, "utf8");
    expect(rulesAfter).toBe(rulesBefore.replace("system_disk_usage_percent) < 0", "system_disk_usage_percent) < 100"));
    expect(rulesAfter).toContain("# disk_threshold: percent that is still free");
    await post("/alerts/thresholds", { disk_threshold: 0 });
    await mailOf("LowDiskSpace", "RESOLVED", before);
    await waitFor("counted", async () => (await query('sum(alert_config_changes_total{outcome="applied"})'))! >= 3);
  });

  it("puts the old file back when the new one can't be loaded, and changes nothing that does not pass its check", async () => {
    const rules = await readFile(files.rules, "utf8");
    const configuration = await readFile(files.prometheus, "utf8");
    await writeFile(files.prometheus, `${configuration}\nnonsense: true\n`);
    const rolledBack = await post("/alerts/thresholds", { cpu_threshold: 55 });
    expect(rolledBack).toMatchObject({ status: 503, body: { code: "ALERT_CHANGE_FAILED" } });
    expect(String(rolledBack.body.message)).toContain("nonsense");
    expect(await readFile(files.rules, "utf8")).toBe(rules);
    await writeFile(files.prometheus, configuration);

    await writeFile(files.rules, rules.replace("max(api_error_rate) > 50", "max(api_error_rate > 50"));
    const broken = await readFile(files.rules, "utf8");
    const refused = await post("/alerts/thresholds", { cpu_threshold: 55 });
    expect(refused).toMatchObject({ status: 503, body: { code: "ALERT_CHANGE_FAILED" } });
    expect(String(refused.body.message)).toMatch(/promtool.*parse error/s);
    expect(await readFile(files.rules, "utf8")).toBe(broken);
    await writeFile(files.rules, rules);

    expect((await post("/alerts/thresholds", { cpu_threshold: 101 })).status).toBe(400);
    expect((await post("/alerts/recipients", { minor: ["a@example.com"] })).status).toBe(400);
    expect((await post("/alerts/thresholds", { cpu_threshold: 95 })).status).toBe(200);
    expect(await query("sum(alert_config_changes_total)")).toBeGreaterThan(0);
  });

  it("serialises changes that come at once", async () => {
    const names = ["cpu_threshold", "memory_threshold", "error_rate_threshold"];
    const answers = await Promise.all(names.map((name, i) => post("/alerts/thresholds", { [name]: 90 + i })));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    const config = (await (await fetch(`${quick.url}/alerts/config`)).json()) as { thresholds: Record<string, number> };
    expect(config.thresholds).toMatchObject({ cpu_threshold: 90, memory_threshold: 91, error_rate_threshold: 92 });
  });

  it("sends a test alert to everybody and says whether it arrived", async () => {
    expect(await (await fetch(`${quick.url}/alerts/test`)).json()).toMatchObject({ ok: true });
    const answer = await post("/alerts/test", {});
    expect(answer).toMatchObject({ status: 200, body: { ok: true, checks: [{ ok: true }, { ok: true }] } });
    const mail = await sink.find("test alert", ({ headers }) => headers.subject?.includes("CifarTestAlert") === true);
    expect(mail.to).toEqual(["day@example.org", "night@example.org", "team@example.com"]);
  });

  it("keeps silent about what is silenced", async () => {
    const now = Date.now();
    const silence = {
      matchers: [{ name: "alertname", value: "LowDiskSpace", isRegex: false, isEqual: true }],
      startsAt: new Date(now).toISOString(),
      endsAt: new Date(now + 600_000).toISOString(),
      createdBy: "test",
      comment: "planned",
    };
    const response = await fetch(`${urls.alertmanager}/api/v2/silences`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(silence),
    });
    expect(response.status).toBe(200);
    const before = sink.mails.length;
    await post("/alerts/thresholds", { disk_threshold: 100 });
    await waitFor("silenced", async () => (await named("LowDiskSpace")())?.status.silencedBy.length === 1);
    await sleep(4000);
    expect(sink.mails.slice(before).filter(({ parts }) => parts["text/plain"]?.includes("LowDiskSpace"))).toEqual([]);
  });

  it("tells of drift", async () => {
    const before = sink.mails.length;
    // One gray image again and again: one class, where the reference has ten.
    for (let i = 0; i < 420; i++) await predict(quick.url);
    const mail = await mailOf("ModelDrift", "FIRING", before);
    expect(mail.parts["text/html"]).toContain("Inputs Differ From Those The Model Was Validated On");
  });

  it("has data for every expression of every dashboard and rule", async () => {
    for (let i = 0; i < 30; i++) {
      const response = await fetch(`${quick.url}/predict`, { method: "POST", body: imageForm() });
      const { request_id: id } = (await response.json()) as { request_id: string };
      expect((await post("/feedback", { request_id: id, true_label: "cat" })).status).toBe(200);
    }
    for (let i = 0; i < 3; i++) {
      await fetch(`${quick.url}/models`);
      await predict(quick.url);
      await sleep(1000);
    }
    const panels = dashboards.flatMap(({ rows }) => Object.values(rows).flat());
    const rules = [...(await rulesOf("alert_rules")), ...(await rulesOf("recording_rules"))];
    const expressions = [
      ...panels.flatMap(({ queries }) => Object.values(queries)),
      // Without its comparison an alert's expression has a value also while all is well.
      // absent(…) is the one that has a value only when something is missing.
      ...rules.flatMap((expr) =>
        expr
          .replace(/ or absent\(.*$/, "")
          .split(/ and (?=api:)/)
          .map((part) => part.replace(/ (?:[<>]=?|==) [\d.* ]+$/, "")),
      ),
    ];
    expect(expressions.length).toBeGreaterThan(110);
    const missing: string[] = [];
    await Promise.all(
      [...new Set(expressions)].map(async (expression) => {
        await waitFor(expression, async () => (await query(expression)) !== undefined, 20).catch(() =>
          missing.push(expression),
        );
      }),
    );
    expect(missing).toEqual([]);
  });

  it("has every metric of the table in a scrape, which promtool finds clean in both formats", async () => {
    const scrape = async (accept: string) =>
      await (await fetch(`${quick.url}/metrics`, { headers: { accept } })).text();
    const text = await scrape("text/plain");
    const { status, stdout, stderr } = spawnSync("promtool", ["check", "metrics"], { input: text, encoding: "utf8" });
    expect(stdout + stderr).toBe("");
    expect(status).toBe(0);
    const seen = new Set(
      [...text.matchAll(/^([a-z0-9_]+?)(?:_bucket|_sum|_count)?(?:\{.*\})? \S+$/gm)].map(([, name]) => name),
    );
    expect(Object.keys(metricTable).filter((name) => !seen.has(name))).toEqual([]);
    expect(await scrape("application/openmetrics-text")).toMatch(/ # \{request_id="[^"]+"\} /);
  });

  it("keeps the text well-formed whatever a class is called", async () => {
    const metrics = createServiceMetrics({ system: createSystemMonitor() });
    const label = '14" disc\nA \\ {x="y"}';
    const seconds = { inferenceSeconds: 0.1, queueSeconds: 0.1, decodeSeconds: 0.1 };
    metrics.observePrediction({ label, confidence: 1, ...seconds, requestId: "r" });
    const { text } = await metrics.render();
    const { status, stdout, stderr } = spawnSync("promtool", ["check", "metrics"], { input: text, encoding: "utf8" });
    expect(stdout + stderr).toBe("");
    expect(status).toBe(0);
    expect(text).toContain(String.raw`predicted_class="14\" disc\nA \\ {x=\"y\"}"`);
  });

  it("tells of the end of drift", async () => {
    // Another model begins another window, which is not full yet.
    await load("tiny_trainer_20260101-000000");
    await mailOf("ModelDrift", "RESOLVED");
  });
});
