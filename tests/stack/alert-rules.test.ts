import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished } from "vitest";
import { parse, stringify } from "yaml";
import { metricTable } from "../../src/observability/metric-table.ts";
import { hasPrometheus, remedy } from "./programs.ts";

const root = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const ruleFiles = ["alert_rules.yml", "recording_rules.yml"].map((name) => root(`monitoring/prometheus/${name}`));

interface Rule {
  readonly alert?: string;
  readonly record?: string;
  readonly expr: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

const rules: Rule[] = ruleFiles.flatMap((file) =>
  (parse(readFileSync(file, "utf8")) as { groups: { rules: Rule[] }[] }).groups.flatMap((group) => group.rules),
);
const alerts = rules.filter(({ alert }) => alert !== undefined);

/** One value a minute: `[value, minutes]`, one phase after the other. */
const gauge = (...phases: (readonly [value: number, minutes: number])[]): string =>
  phases.flatMap(([value, minutes]) => new Array<number>(minutes).fill(value)).join(" ");

/** A counter's value each step: `[increase a step, steps]`. */
function counter(...phases: (readonly [increase: number, steps: number])[]): string {
  let value = 0;
  const values = phases.flatMap(([increase, steps]) =>
    Array.from({ length: steps }, () => {
      value += increase;
      return value;
    }),
  );
  return [0, ...values].join(" ");
}

const ok = 'api_requests_total{method="POST",endpoint="/predict",status="200"}';
const failed = 'api_requests_total{method="POST",endpoint="/predict",status="500"}';
const bucket = (le: string) => `api_request_duration_seconds_bucket{method="POST",endpoint="/predict",le="${le}"}`;

interface RuleCase {
  /** Series of the time in which all is well, then not, then well again. */
  readonly series: Readonly<Record<string, string>>;
  /** Minutes: before the trouble; in it but not for long enough (undefined: fires at once); firing; after it. */
  readonly quiet: number;
  readonly pending?: number;
  readonly firing: number;
  readonly resolved: number;
  readonly description: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Between two values of the series, and two evaluations; default 1m and 15s. */
  readonly interval?: string;
}

const cases: Readonly<Record<string, RuleCase>> = {
  HighAPIErrorRate: {
    series: { api_error_rate: gauge([50, 5], [50.5, 5], [10, 5]) },
    quiet: 4,
    pending: 6,
    firing: 8,
    resolved: 11,
    description: "API error rate is 50.5% of the answers of the last minute",
  },
  APIServiceDown: {
    series: { 'up{job="cifar10-api",instance="cifar-api:8000"}': gauge([1, 5], [0, 5], [1, 5]) },
    quiet: 4,
    pending: 5,
    firing: 7,
    resolved: 10,
    description: "Prometheus gets no answer from cifar-api:8000 of the API",
    labels: { job: "cifar10-api", instance: "cifar-api:8000" },
  },
  SlowAPIResponse: {
    // All within 2 s, then all between 2 and 5 s: the quantile is 2 + 0.95 * 3.
    series: {
      [bucket("1")]: counter([60, 10], [0, 15], [60, 20]),
      [bucket("2")]: counter([60, 10], [0, 15], [60, 20]),
      [bucket("5")]: counter([60, 45]),
      [bucket("+Inf")]: counter([60, 45]),
    },
    quiet: 10,
    pending: 14,
    firing: 22,
    resolved: 32,
    description: "95 of 100 predictions are answered within 4.85s, the others later",
  },
  QueueSaturation: {
    series: { model_queue_length: gauge([200, 5], [230, 5], [0, 5]), model_queue_limit: gauge([256, 15]) },
    quiet: 4,
    pending: 5,
    firing: 8,
    resolved: 12,
    description: "The queue was 90% full; when it is full, requests are refused",
  },
  LogLinesLost: {
    series: { 'log_failures_total{destination="cifar10-api_app.log"}': counter([0, 5], [10, 5], [0, 10]) },
    quiet: 4,
    pending: 6,
    firing: 9,
    resolved: 18,
    description: "cifar10-api_app.log does not take log lines",
    labels: { destination: "cifar10-api_app.log" },
  },
  LowDiskSpace: {
    series: { system_disk_usage_percent: gauge([50, 5], [60, 5], [40, 5]) },
    quiet: 4,
    pending: 5,
    firing: 7,
    resolved: 10,
    description: "Only 40.0% of the disk is free",
  },
  HighCPUUsage: {
    series: { system_cpu_usage_percent: gauge([80, 5], [90, 10], [20, 5]) },
    quiet: 4,
    pending: 9,
    firing: 11,
    resolved: 15,
    description: "CPU usage is 90.0%",
  },
  HighMemoryUsage: {
    series: { system_memory_usage_percent: gauge([70, 5], [75, 10], [20, 5]) },
    quiet: 4,
    pending: 9,
    firing: 11,
    resolved: 15,
    description: "Memory usage is 75.0%",
  },
  LowModelConfidence: {
    series: { model_avg_confidence_score: gauge([0.6, 5], [0.5, 10], [0.9, 5]) },
    quiet: 4,
    pending: 9,
    firing: 11,
    resolved: 15,
    description: "The mean confidence of recent predictions is 0.500",
  },
  ModelDrift: {
    series: { model_drift_detected: gauge([0, 5], [1, 5], [0, 5]) },
    quiet: 4,
    pending: 6,
    firing: 8,
    resolved: 10,
    description:
      "Recent images or predictions differ from the reference of the model: its accuracy may be lower than measured",
  },
  LowFeedbackAccuracy: {
    // Bad from the start, but only then with enough labels; good at the end.
    series: {
      model_live_accuracy_ratio: gauge([0.5, 15], [0.9, 5]),
      'model_feedback_total{outcome="right"}': gauge([10, 5], [20, 15]),
      'model_feedback_total{outcome="wrong"}': gauge([10, 5], [20, 15]),
    },
    quiet: 4,
    pending: 9,
    firing: 11,
    resolved: 15,
    description: "Only 50% of the predictions whose true label was reported were right",
  },
  ModelReloadRefused: {
    series: { 'model_reloads_total{outcome="refused"}': counter([0, 5], [1, 1], [0, 20]) },
    quiet: 4,
    firing: 7,
    resolved: 20,
    description: "A model failed its self-check and was not taken into service; the old one still answers",
    labels: { outcome: "refused" },
  },
  TrainingFailed: {
    series: { training_last_run_failed: gauge([0, 5], [1, 5], [0, 5]) },
    quiet: 4,
    firing: 5,
    resolved: 10,
    description: "The last training ended in an error or fell silent",
  },
  ErrorBudgetBurnFast: {
    // One of five fails for an hour; the short window ends the alert soon after the errors end.
    series: { [ok]: counter([60, 120], [48, 70], [60, 60]), [failed]: counter([0, 120], [12, 70], [0, 60]) },
    quiet: 120,
    pending: 126,
    firing: 189,
    resolved: 200,
    description: "20% of the predictions of the last hour failed: the budget of 30 days is gone in two days",
  },
  ErrorBudgetBurn: {
    // One of ten for six hours.
    series: { [ok]: counter([60, 420], [54, 370], [60, 120]), [failed]: counter([0, 420], [6, 370], [0, 120]) },
    quiet: 420,
    pending: 500,
    firing: 789,
    resolved: 840,
    description: "10% of the predictions of the last six hours failed: the budget of 30 days is gone in five days",
  },
  ErrorBudgetBurnSlow: {
    // One of fifty for three days, five minutes a step.
    series: { [ok]: counter([300, 12], [294, 880], [300, 100]), [failed]: counter([0, 12], [6, 880], [0, 100]) },
    interval: "5m",
    quiet: 60,
    firing: 4450,
    resolved: 4460 + 400,
    description: "2% of the predictions of the last three days failed: the objective will be missed",
  },
};

function promtoolTest(name: string, test: RuleCase): string {
  const rule = alerts.find(({ alert }) => alert === name)!;
  const firing = {
    exp_labels: { ...test.labels, ...rule.labels },
    exp_annotations: { ...rule.annotations, description: test.description },
  };
  const at = (minutes: number, expected: readonly unknown[]) => ({
    eval_time: `${minutes}m`,
    alertname: name,
    exp_alerts: expected,
  });
  return stringify({
    rule_files: ruleFiles,
    evaluation_interval: test.interval ?? "15s",
    tests: [
      {
        name,
        interval: test.interval ?? "1m",
        input_series: Object.entries(test.series).map(([series, values]) => ({ series, values })),
        alert_rule_test: [
          at(test.quiet, []),
          ...(test.pending === undefined ? [] : [at(test.pending, [])]),
          at(test.firing, [firing]),
          at(test.resolved, []),
        ],
      },
    ],
  });
}

async function promtool(text: string): Promise<{ status: number | null; output: string }> {
  const folder = await mkdtemp(join(tmpdir(), "promtool-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, "test.yml");
  await writeFile(path, text);
  const { status, stdout, stderr } = spawnSync("promtool", ["test", "rules", path], { encoding: "utf8" });
  return { status, output: `${stdout}${stderr}` };
}

describe.skipIf(!hasPrometheus)(`alert rules${hasPrometheus ? "" : ` (${remedy})`}`, () => {
  it("have a test each", () => {
    expect(Object.keys(cases).sort()).toEqual(alerts.map(({ alert }) => alert).sort());
  });

  it.each(Object.entries(cases))("%s stays quiet, waits, fires and resolves", async (name, test) => {
    const { status, output } = await promtool(promtoolTest(name, test));
    expect(output).toContain("SUCCESS");
    expect(status).toBe(0);
  });

  it("are tested by a test that can fail", async () => {
    const wrong = { ...cases.HighCPUUsage!, series: { system_cpu_usage_percent: gauge([80, 20]) } };
    const { status, output } = await promtool(promtoolTest("HighCPUUsage", wrong));
    expect(status).not.toBe(0);
    expect(output).toContain("FAILED");
  });

  it("record the quantiles and the error ratio of each window", async () => {
    const sample = (value: number, record: string) => ({
      expr: record,
      eval_time: "4d",
      exp_samples: [{ labels: record, value }],
    });
    const ratios = rules.flatMap(({ record }) => (record?.startsWith("api:error_ratio") ? [record] : []));
    const { output } = await promtool(
      stringify({
        rule_files: ruleFiles,
        evaluation_interval: "5m",
        tests: [
          {
            interval: "5m",
            input_series: [
              { series: ok, values: "0+75x1300" },
              { series: failed, values: "0+25x1300" },
              { series: bucket("1"), values: "0+50x1300" },
              { series: bucket("2"), values: "0+100x1300" },
              { series: bucket("+Inf"), values: "0+100x1300" },
            ],
            promql_expr_test: [
              ...ratios.filter((record) => !record.endsWith("5m")).map((record) => sample(0.25, record)),
            ],
          },
          {
            interval: "1m",
            input_series: [
              { series: ok, values: "0+75x1300" },
              { series: failed, values: "0+25x1300" },
              { series: bucket("1"), values: "0+50x1300" },
              { series: bucket("2"), values: "0+100x1300" },
              { series: bucket("+Inf"), values: "0+100x1300" },
            ],
            promql_expr_test: [
              ["api:error_ratio:rate5m", 0.25],
              ["api:request_duration_seconds:p50_5m", 1],
              ["api:request_duration_seconds:p95_5m", 1.9],
              ["api:request_duration_seconds:p99_5m", 1.98],
            ].map(([record, value]) => ({ ...sample(Number(value), String(record)), eval_time: "30m" })),
          },
        ],
      }),
    );
    expect(output).toContain("SUCCESS");
    expect(ratios).toHaveLength(5);
  });
});

describe("rule files", () => {
  it("use only metrics of the table, recorded ones and Prometheus' own", () => {
    const recorded = rules.flatMap(({ record }) => (record === undefined ? [] : [record]));
    for (const { expr } of rules) {
      const bare = expr.replace(/"[^"]*"/g, "").replace(/\{[^}]*\}/g, "");
      const names = bare.match(/\b[a-z]+(?:[_:][a-z0-9]+)+\b/g) ?? [];
      for (const name of names.filter((each) => !["histogram_quantile", "max_over_time"].includes(each))) {
        const base = name.replace(/_(bucket|sum|count)$/, "");
        expect([...Object.keys(metricTable), ...recorded, "up"], expr).toContain(
          Object.hasOwn(metricTable, name) ? name : base,
        );
      }
    }
  });

  it("name a severity, a service, texts without thresholds and a section of the runbooks for each alert", () => {
    const runbooks = readFileSync(root("docs/runbooks.md"), "utf8");
    for (const { alert, labels, annotations } of alerts) {
      expect(["critical", "warning"], alert).toContain(labels?.severity);
      expect(labels?.service, alert).toMatch(/^cifar10-/);
      expect(annotations?.summary, alert).toMatch(/\S/);
      expect(annotations?.runbook_url, alert).toBe(`docs/runbooks.md#${alert!.toLowerCase()}`);
      expect(runbooks).toMatch(new RegExp(`^## ${alert}$`, "m"));
    }
  });
});
