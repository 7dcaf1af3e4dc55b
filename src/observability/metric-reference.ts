import { type MetricDefinition, metricTable } from "./metric-table.ts";

/** docs/metrics.md: every metric of the table. */
export function renderMetricReference(): string {
  const rows = Object.entries<MetricDefinition>(metricTable)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { type, labels, help, buckets }]) => {
      const bounds = buckets === undefined ? "" : `; buckets ${buckets.join(", ")}`;
      return `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(", ")} | ${help}${bounds} |`;
    });
  return `${[
    "# Metrics",
    "<!-- Generated from src/observability/metric-table.ts by scripts/generate-docs.mjs: do not edit. -->",
    "What `/metrics` exposes, also at `/metrics-info`. Labels take values from closed sets only (route patterns, methods, " +
      "status codes, classes of the model): clients can't create series. A gauge without a figure is NaN, not zero.",
    ["| name | type | labels | meaning |", "|---|---|---|---|", ...rows].join("\n"),
  ].join("\n\n")}\n`;
}
