import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished } from "vitest";
import { parse, stringify } from "yaml";
import { RuleFile } from "../../src/observability/alerts/rule-file.ts";
import { thresholdNames } from "../../src/observability/alerts/threshold-table.ts";
import { metricTable } from "../../src/observability/metric-table.ts";
import { thresholdsSchema } from "../../src/serving/monitoring-schemas.ts";
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

interface RuleGroup {
  readonly name: string;
  readonly rules: readonly Rule[];
}

const groups: RuleGroup[] = ruleFiles.flatMap(
  (file) => (parse(readFileSync(file, "utf8")) as { groups: RuleGroup[] }).groups,
);
const rules = groups.flatMap((group) => group.rules);
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

const within = bucket("0.5");
const all = 'api_request_duration_seconds_count{method="POST",endpoint="/predict"}';

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
  /** Values after a restart at which it fires again (or still); default 30. */
  readonly again?: number;
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
    description: "Prometheus gets no answer from cifar-api:8000 of the API: up is 0",
    labels: { job: "cifar10-api", instance: "cifar-api:8000" },
  },
  HighResponseTime: {
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
    series: { 'log_failures_total{destination="cifar10-api_app.log"}': counter([0, 5], [10, 7], [0, 10]) },
    quiet: 4,
    pending: 6,
    firing: 11,
    resolved: 20,
    description: "cifar10-api_app.log did not take 50 log lines in five minutes",
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
    series: {
      'model_drift_detected{instance="a"}': gauge([0, 5], [1, 5], [0, 5]),
      // An instance that does not know yet hides no other.
      'model_drift_detected{instance="b"}': gauge([Number.NaN, 15]),
    },
    quiet: 4,
    pending: 6,
    firing: 8,
    resolved: 10,
    description:
      "Recent images or predictions differ from the reference of the model (model_drift_detected is 1): its accuracy may be lower than measured",
  },
  LowFeedbackAccuracy: {
    // Bad from the start, but only then with enough labels; good at the end.
    series: {
      model_live_accuracy_ratio: gauge([0.5, 15], [0.9, 5]),
      'model_feedback_total{outcome="right"}': counter([2, 5], [4, 14]),
      'model_feedback_total{outcome="wrong"}': counter([2, 5], [4, 14]),
    },
    quiet: 4,
    pending: 9,
    firing: 13,
    resolved: 15,
    description: "Only 50% of the predictions whose true label was reported were right",
  },
  ModelReloadRefused: {
    series: { 'model_reloads_total{outcome="refused"}': counter([0, 5], [1, 1], [0, 20]) },
    quiet: 4,
    firing: 7,
    resolved: 20,
    description:
      "A model failed its self-check (1 in ten minutes) and was not taken into service; the old one still answers",
    labels: { outcome: "refused" },
    // It happens once: what matters is that a restart does not hide it while it is recent.
    again: 2,
  },
  TrainingFailed: {
    series: { training_last_run_failed: gauge([0, 5], [1, 5], [0, 5]) },
    quiet: 4,
    firing: 5,
    resolved: 10,
    description: "The last training ended in an error or fell silent (training_last_run_failed is 1)",
  },
  TrackingUnreachable: {
    series: {
      'tracking_up{instance="a"}': gauge([1, 5], [0, 10], [1, 5]),
      'tracking_up{instance="b"}': gauge([Number.NaN, 20]),
    },
    quiet: 4,
    pending: 9,
    firing: 11,
    resolved: 15,
    description:
      "The tracking server does not answer (tracking_up is 0); trainings keep their records on disk meanwhile",
  },
  ErrorBudgetBurnFast: {
    interval: "1m",
    // One of five fails for an hour; the short window ends the alert soon after the errors end.
    series: { [ok]: counter([60, 120], [48, 70], [60, 60]), [failed]: counter([0, 120], [12, 70], [0, 60]) },
    quiet: 120,
    pending: 126,
    firing: 189,
    resolved: 200,
    description: "20% of the predictions of the last hour failed: the budget of 30 days is gone in two days",
  },
  ErrorBudgetBurn: {
    interval: "1m",
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
  LatencyBudgetBurnFast: {
    interval: "1m",
    series: { [within]: counter([60, 120], [12, 70], [60, 60]), [all]: counter([60, 250]) },
    quiet: 120,
    pending: 126,
    firing: 189,
    resolved: 200,
    description:
      "80% of the predictions of the last hour took longer than half a second: the budget of 30 days is gone in two days",
  },
  LatencyBudgetBurn: {
    interval: "1m",
    series: { [within]: counter([60, 420], [30, 370], [60, 120]), [all]: counter([60, 910]) },
    quiet: 420,
    pending: 500,
    firing: 789,
    resolved: 840,
    description:
      "50% of the predictions of the last six hours took longer than half a second: the budget of 30 days is gone in five days",
  },
  LatencyBudgetBurnSlow: {
    series: { [within]: counter([300, 12], [240, 880], [300, 100]), [all]: counter([300, 992]) },
    interval: "5m",
    quiet: 60,
    firing: 4450,
    resolved: 4460 + 400,
    description:
      "20% of the predictions of the last three days took longer than half a second: the objective will be missed",
  },
};

interface Expected {
  readonly minutes: number;
  readonly fires: boolean;
}

const projectUrl = "https://git.example.com/cifar/blob/main/";

/** A file of rules with one alert and the recorded series that it asks for: days of all rules would take long. */
function rulesOf(alert: Rule): string {
  const wanted = new Set([alert]);
  for (const { expr } of wanted) {
    for (const rule of rules) if (rule.record !== undefined && expr.includes(rule.record)) wanted.add(rule);
  }
  const kept = groups.map((group) => ({ ...group, rules: group.rules.filter((rule) => wanted.has(rule)) }));
  return stringify({ groups: kept.filter((group) => group.rules.length > 0) });
}

interface PromtoolFiles {
  readonly test: string;
  /** Beside the test, as rules.yml. */
  readonly rules?: string;
}

/** What promtool is to see of one alert with these series. */
function promtoolTest(
  name: string,
  test: RuleCase,
  expected: readonly Expected[],
  series = test.series,
): PromtoolFiles {
  const rule = alerts.find(({ alert }) => alert === name)!;
  const firing = {
    exp_labels: { ...test.labels, ...rule.labels },
    exp_annotations: {
      ...{ ...rule.annotations, description: test.description },
      runbook_url: rule.annotations?.runbook_url?.replace("{{ $externalLabels.project_url }}", projectUrl),
    },
  };
  const text = stringify({
    rule_files: ["rules.yml"],
    evaluation_interval: test.interval ?? "15s",
    tests: [
      {
        name,
        interval: test.interval ?? "1m",
        external_labels: { project_url: projectUrl },
        input_series: Object.entries(series).map(([each, values]) => ({ series: each, values })),
        alert_rule_test: expected.map(({ minutes, fires }) => ({
          eval_time: `${minutes}m`,
          alertname: name,
          exp_alerts: fires ? [firing] : [],
        })),
      },
    ],
  });
  return { test: text, rules: rulesOf(rule) };
}

const lifeOf = ({ quiet, pending, firing, resolved }: RuleCase): Expected[] => [
  { minutes: quiet, fires: false },
  ...(pending === undefined ? [] : [{ minutes: pending, fires: false }]),
  { minutes: firing, fires: true },
  { minutes: resolved, fires: false },
];

const stepOf = ({ interval = "1m" }: RuleCase): number => Number.parseInt(interval, 10);

/**
 * The values up to one, then a restart of the API: the series is marked as ended, counters begin at 0, and all goes on as
 * before.
 */
function restarted(series: string, values: string, at: number): string {
  const numbers = values.split(" ").map(Number);
  const [before, last] = [numbers[at - 1]!, numbers[at]!];
  const isCounter = /_(total|bucket|count|sum)\b/.test(series);
  const after = Array.from({ length: 40 }, (_, i) => (isCounter ? i * (last - before) : last));
  return [...numbers.slice(0, at + 1), "stale", ...after].join(" ");
}

const mapSeries = (test: RuleCase, change: (series: string, values: string) => string): Record<string, string> =>
  Object.fromEntries(Object.entries(test.series).map(([series, values]) => [series, change(series, values)]));

async function expectSuccess(files: PromtoolFiles): Promise<void> {
  const { status, output } = await promtool(files);
  expect(output).toContain("SUCCESS");
  expect(status).toBe(0);
}

async function promtool({ test, rules }: PromtoolFiles): Promise<{ status: number | null; output: string }> {
  const folder = await mkdtemp(join(tmpdir(), "promtool-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, "test.yml");
  await writeFile(path, test);
  if (rules !== undefined) await writeFile(join(folder, "rules.yml"), rules);
  const { status, stdout, stderr } = spawnSync("promtool", ["test", "rules", path], { encoding: "utf8" });
  return { status, output: `${stdout}${stderr}` };
}

describe.skipIf(!hasPrometheus)(`alert rules${hasPrometheus ? "" : ` (${remedy})`}`, () => {
  it("have a test each", () => {
    expect(Object.keys(cases).sort()).toEqual(alerts.map(({ alert }) => alert).sort());
  });

  it.each(Object.entries(cases))("%s stays quiet, waits, fires and resolves", async (name, test) => {
    await expectSuccess(promtoolTest(name, test, lifeOf(test)));
  });

  it.each(Object.entries(cases))("%s survives a restart in the midst of the trouble", async (name, test) => {
    const step = stepOf(test);
    const series = mapSeries(test, (each, values) => restarted(each, values, Math.floor(test.firing / step)));
    const again = { minutes: test.firing + (test.again ?? 30) * step, fires: true };
    await expectSuccess(promtoolTest(name, test, [{ minutes: test.firing, fires: true }, again], series));
  });

  it.each(Object.entries(cases))("%s makes nothing of a restart when all is well", async (name, test) => {
    // As at the end, when all is well again, from the start.
    const series = mapSeries(test, (each, values) => {
      const [before, last] = values.split(" ").slice(-2).map(Number) as [number, number];
      const isCounter = /_(total|bucket|count|sum)\b/.test(each);
      const well = Array.from({ length: 20 }, (_, i) => (isCounter ? i * (last - before) : last));
      return restarted(each, well.join(" "), 19);
    });
    const minutes = [10, 20, 21, 22, 23, 24, 25, 30, 40, 55].map((value) => value * stepOf(test));
    const expected = minutes.map((at) => ({ minutes: at, fires: false }));
    await expectSuccess(promtoolTest(name, test, expected, series));
  });

  it.each(Object.entries(cases).filter(([name]) => name !== "APIServiceDown"))(
    "%s is silent when a series is missing",
    async (name, test) => {
      const minutes = [test.quiet, test.firing, test.resolved];
      const expected = minutes.map((at) => ({ minutes: at, fires: false }));
      const series = Object.entries(test.series);
      // Each alone, and all. The ratio of errors has no need of a status that nobody has ever had.
      const missing = name.startsWith("ErrorBudget") ? [failed] : series.map(([each]) => each);
      for (const gone of missing) {
        // Of the buckets and outcomes of one metric one alone tells nothing wrong.
        const metric = gone.split("{")[0]!;
        const rest = series.filter(([each]) =>
          name.startsWith("ErrorBudget") ? each !== gone : !each.startsWith(metric),
        );
        await expectSuccess(promtoolTest(name, test, expected, Object.fromEntries(rest)));
      }
      await expectSuccess(promtoolTest(name, test, expected, {}));
    },
  );

  it("fire for a service that is down also when none of its own series is there, or it is not known at all", async () => {
    const test = cases.APIServiceDown!;
    const fires = [{ minutes: 7, fires: true }];
    await expectSuccess(promtoolTest("APIServiceDown", test, fires));
    const unknown = { ...test, description: "Prometheus gets no answer from any instance of the API: none is known" };
    const labels = { job: "cifar10-api" };
    for (const series of [{}, { 'up{job="prometheus",instance="localhost:9090"}': gauge([1, 15]) }]) {
      await expectSuccess(promtoolTest("APIServiceDown", { ...unknown, labels }, fires, series));
    }
  });

  it.each(["HighResponseTime", "LatencyBudgetBurnFast"])(
    "%s is silent in idle minutes, whose quantiles are NaN, and fires for the slow burst after them",
    async (name) => {
      const test = cases[name]!;
      const expectedAt = [5, 12, 15, 17, 20, 21, 24].map((minutes) => ({ minutes, fires: false }));
      const phases = (slow: number) => counter([60, 8], [0, 14], [slow, 65]);
      const series = { [within]: phases(0), [bucket("1")]: phases(0), [bucket("2")]: phases(0) };
      const whole = { [bucket("5")]: phases(600), [bucket("+Inf")]: phases(600), [all]: phases(600) };
      const burst: RuleCase = {
        ...test,
        description: name === "HighResponseTime" ? test.description : test.description.replace("80%", "100%"),
      };
      // By then nothing else is left in the last hour: rules and recorded series are evaluated in no certain order.
      const fires = { minutes: 84, fires: true };
      await expectSuccess(promtoolTest(name, burst, [...expectedAt, fires], { ...series, ...whole }));
    },
  );

  it("are tested by a test that can fail", async () => {
    const wrong = { ...cases.HighCPUUsage!, series: { system_cpu_usage_percent: gauge([80, 20]) } };
    const { status, output } = await promtool(promtoolTest("HighCPUUsage", wrong, lifeOf(wrong)));
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
    const { output } = await promtool({
      test: stringify({
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
    });
    expect(output).toContain("SUCCESS");
    expect(ratios).toHaveLength(5);
  });
});

describe.skipIf(!hasPrometheus)(`recorded series${hasPrometheus ? "" : ` (${remedy})`}`, () => {
  const recorded = rules.flatMap(({ record }) => (record === undefined ? [] : [record]));
  /** Values at a time, or nothing at all. */
  const expectRecorded = (
    series: Readonly<Record<string, string>>,
    samples: Readonly<Record<string, number | undefined>>,
    minutes = 30,
  ) =>
    expectSuccess({
      test: stringify({
        rule_files: ruleFiles,
        evaluation_interval: "1m",
        tests: [
          {
            interval: "1m",
            input_series: Object.entries(series).map(([each, values]) => ({ series: each, values })),
            promql_expr_test: Object.entries(samples).map(([record, value]) => ({
              expr: record,
              eval_time: `${minutes}m`,
              exp_samples: value === undefined ? [] : [{ labels: record, value }],
            })),
          },
        ],
      }),
    });
  const of = (part: string, value: number | undefined) =>
    Object.fromEntries(recorded.filter((name) => name.includes(part)).map((name) => [name, value]));
  const traffic = {
    [ok]: counter([75, 60]),
    [failed]: counter([25, 60]),
    [within]: counter([50, 60]),
    [bucket("1")]: counter([100, 60]),
    [bucket("+Inf")]: counter([100, 60]),
    [all]: counter([100, 60]),
  };
  const steady = { ...of("error_ratio", 0.25), ...of("slow_ratio", 0.5) };

  it("are absent, not zero, where what they are made of is missing", async () => {
    await expectRecorded(
      {},
      { ...of("error_ratio", undefined), ...of("slow_ratio", undefined), ...of("_5m", undefined) },
    );
    await expectRecorded({ [all]: traffic[all]! }, of("slow_ratio", undefined));
    await expectRecorded({ [within]: traffic[within]! }, of("slow_ratio", undefined));
  });

  it("are zero where nothing has ever failed", async () => {
    await expectRecorded({ [ok]: traffic[ok]! }, of("error_ratio", 0));
  });

  it("are the same before and after a restart", async () => {
    await expectRecorded(traffic, steady);
    const again = Object.fromEntries(
      Object.entries(traffic).map(([each, values]) => [each, restarted(each, values, 20)]),
    );
    await expectRecorded(again, steady, 21);
    await expectRecorded(again, { ...steady, "api:request_duration_seconds:p50_5m": 0.5 }, 50);
    expect(Object.keys(steady)).toHaveLength(10);
  });
});

describe("rule files", () => {
  it("have the thresholds of the specification, each at the alert that the API changes", () => {
    expect(new RuleFile(readFileSync(ruleFiles[0]!, "utf8")).thresholds).toEqual({
      error_rate_threshold: 50,
      disk_threshold: 50,
      cpu_threshold: 80,
      memory_threshold: 70,
      response_time_threshold: 2,
      confidence_threshold: 0.6,
      queue_threshold: 80,
      feedback_accuracy_threshold: 0.7,
    });
    expect(Object.keys(thresholdsSchema.shape).sort()).toEqual([...thresholdNames].sort());
    const severity = (name: string) => alerts.find(({ alert }) => alert === name)?.labels?.severity;
    for (const name of ["HighAPIErrorRate", "LowDiskSpace", "APIServiceDown"]) expect(severity(name)).toBe("critical");
    for (const name of ["HighCPUUsage", "HighMemoryUsage", "HighResponseTime", "LowModelConfidence"]) {
      expect(severity(name)).toBe("warning");
    }
  });

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
      expect(annotations?.runbook_url, alert).toBe(
        `{{ $externalLabels.project_url }}docs/runbooks.md#${alert!.toLowerCase()}`,
      );
      // "with value": what it is now, in every text.
      expect(annotations?.description, alert).toMatch(/\{\{.*\$value.*\}\}/);
      const section = new RegExp(`^## ${alert}\n([\\s\\S]*?)(?=^## |(?![\\s\\S]))`, "m").exec(runbooks)?.[1] ?? "";
      // What it means, where to look, what helps, how to silence it.
      expect(section, alert).toMatch(
        /^\n[A-Z][^*]{30,}\n\n\*\*First look:\*\* [\s\S]+\n\n\*\*Remedy:\*\* [\s\S]+\n\n\*\*Silence:\*\* `[^`]+`\n/,
      );
      expect(section).toContain(`\`amtool silence add alertname=${alert} `);
    }
  });
});
