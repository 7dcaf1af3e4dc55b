import type { MetricSample } from "./exposition.ts";
import { type MetricDefinition, type MetricName, metricTable, unitOf } from "./metric-table.ts";

/** One combination of labels and what it stands at; null where there is no figure. */
export interface DescribedSeries {
  readonly labels: Record<string, string>;
  readonly value?: number | null;
  /** Of a histogram. */
  readonly count?: number;
  readonly sum?: number;
}

export interface DescribedMetric {
  readonly name: MetricName;
  readonly type: MetricDefinition["type"];
  readonly help: string;
  readonly unit: string;
  readonly labels: string[];
  readonly buckets?: number[];
  readonly series: DescribedSeries[];
  /** Further series, which only /metrics tells. */
  readonly series_omitted: number;
}

const mostSeries = 50;

/** The table of metrics beside what each stands at. */
export function describeMetrics(samples: readonly MetricSample[]): DescribedMetric[] {
  return Object.entries<MetricDefinition>(metricTable).map(([key, { type, help, labels, buckets }]) => {
    const name = key as MetricName;
    const own = samples.filter(({ metric }) => metric === name);
    const series = type === "histogram" ? histogramSeries(name, own) : own.map(scalarSeries);
    return {
      name,
      type,
      help,
      unit: unitOf(name),
      labels: [...labels],
      ...(buckets === undefined ? {} : { buckets: [...buckets] }),
      series: series.slice(0, mostSeries),
      series_omitted: Math.max(0, series.length - mostSeries),
    };
  });
}

function scalarSeries({ labels, value }: MetricSample): DescribedSeries {
  return { labels: textOf(labels), value: Number.isFinite(value) ? value : null };
}

/** A series has its sum right before its count. */
function histogramSeries(name: MetricName, samples: readonly MetricSample[]): DescribedSeries[] {
  const sums = samples.filter((sample) => sample.name === `${name}_sum`);
  const counts = samples.filter((sample) => sample.name === `${name}_count`);
  return sums.map(({ labels, value }, i) => ({ labels: textOf(labels), count: counts[i]!.value, sum: value }));
}

function textOf(labels: MetricSample["labels"]): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).map(([key, value]) => [key, String(value)]));
}
