import { type MetricDefinition, type MetricName, metricTable, unitOf } from "./metric-table.ts";

/** docs/metrics.md: every metric of the table. */
export function renderMetricReference(): string {
  const rows = Object.entries<MetricDefinition>(metricTable)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { type, labels, help, buckets }]) => {
      const bounds = buckets === undefined ? "" : `; buckets ${buckets.join(", ")}`;
      return `| \`${name}\` | ${type} | ${unitOf(name as MetricName)} | ${labels.map((label) => `\`${label}\``).join(", ")} | ${help}${bounds} |`;
    });
  return `${[
    "# Metrics",
    "<!-- Generated from src/observability/metric-table.ts by scripts/generate-docs.mjs: do not edit. -->",
    "What `/metrics` exposes, with their present values also at `/metrics-info`. Labels take values from closed sets only (route patterns, methods, " +
      "status codes, classes of the model): clients can't create series. A gauge without a figure is NaN, not zero. Those who accept " +
      "OpenMetrics get it, with the request id of a recent observation in each bucket of the histograms of requests and " +
      "of inference (exemplars).",
    ["| name | type | unit | labels | meaning |", "|---|---|---|---|---|", ...rows].join("\n"),
  ].join("\n\n")}\n`;
}
