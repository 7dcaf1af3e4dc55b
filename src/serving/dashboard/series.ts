import type { MetricSample } from "../../observability/exposition.ts";

/** Figures of the dashboard in the order of its panels; each is a number or, without a measurement, null. */
export const seriesNames = [
  "requests_per_second",
  "error_percent",
  "latency_p50_seconds",
  "latency_p95_seconds",
  "latency_p99_seconds",
  "predictions_per_second",
  "confidence",
  "live_accuracy",
  "queue_length",
  "batch_size",
  "cpu_percent",
  "memory_percent",
  "disk_percent",
  "network_receive_bytes_per_second",
  "network_transmit_bytes_per_second",
  "disk_read_bytes_per_second",
  "disk_written_bytes_per_second",
  "gpu_percent",
  "gpu_memory_percent",
  "training_epoch",
  "training_epochs_planned",
  "training_loss",
  "validation_loss",
  "training_accuracy",
  "validation_accuracy",
  "training_images_per_second",
] as const;

export type SeriesName = (typeof seriesNames)[number];

/** One moment of the dashboard. */
export interface DashboardPoint {
  /** Milliseconds since the epoch. */
  readonly time: number;
  readonly values: Readonly<Record<SeriesName, number | null>>;
  /** Predictions since the start, by class. */
  readonly classes: Readonly<Record<string, number>>;
}

export interface Snapshot {
  readonly time: number;
  readonly samples: readonly MetricSample[];
}

/** Routes that predict: the latency of a scrape or of the page says nothing about the service. */
const predicting = /^\/(?:predict|v2\/models\/.*\/infer)/;

/** What happened between two snapshots, in figures. */
export function pointBetween(before: Snapshot, after: Snapshot): DashboardPoint {
  const seconds = Math.max(0.001, (after.time - before.time) / 1000);
  const [earlier, later] = [index(before.samples), index(after.samples)];
  const gauge = (name: string): number | null => finite(later.get(name)?.[0]?.value);
  const isTraining = gauge("training_in_progress") === 1;
  /** The figures of a training that is over are no news. */
  const training = (name: string, split?: string): number | null =>
    isTraining ? finite(later.get(name)?.find(({ labels }) => labels.split === split)?.value) : null;
  const increase = (name: string, wanted: (labels: MetricSample["labels"]) => boolean = () => true): number | null => {
    const samples = later.get(name);
    if (samples === undefined) return null;
    const old = new Map((earlier.get(name) ?? []).map((sample) => [keyOf(sample), sample.value]));
    return samples
      .filter(({ labels }) => wanted(labels))
      .reduce((sum, sample) => sum + Math.max(0, sample.value - (old.get(keyOf(sample)) ?? 0)), 0);
  };
  const rate = (name: string, wanted?: (labels: MetricSample["labels"]) => boolean): number | null => {
    const sum = increase(name, wanted);
    return sum === null ? null : sum / seconds;
  };
  const ratio = (part: number | null, whole: number | null): number | null =>
    part === null || whole === null || whole === 0 ? null : part / whole;

  const requests = increase("api_requests_total");
  const errors = increase("api_requests_total", ({ status }) => Number(status) >= 400);
  const quantiles = latencyQuantiles([0.5, 0.95, 0.99], earlier, later);
  const values: Record<SeriesName, number | null> = {
    requests_per_second: requests === null ? null : requests / seconds,
    error_percent: requests === 0 ? 0 : scaled(ratio(errors, requests), 100),
    latency_p50_seconds: quantiles[0]!,
    latency_p95_seconds: quantiles[1]!,
    latency_p99_seconds: quantiles[2]!,
    predictions_per_second: rate("model_predictions_total"),
    confidence: gauge("model_avg_confidence_score"),
    live_accuracy: gauge("model_live_accuracy_ratio"),
    queue_length: gauge("model_queue_length"),
    batch_size: ratio(increase("model_batch_size_sum"), increase("model_batch_size_count")),
    cpu_percent: gauge("system_cpu_usage_percent"),
    memory_percent: gauge("system_memory_usage_percent"),
    disk_percent: gauge("system_disk_usage_percent"),
    network_receive_bytes_per_second: rate("system_network_receive_bytes_total"),
    network_transmit_bytes_per_second: rate("system_network_transmit_bytes_total"),
    disk_read_bytes_per_second: rate("system_disk_read_bytes_total"),
    disk_written_bytes_per_second: rate("system_disk_written_bytes_total"),
    gpu_percent: gauge("system_gpu_usage_percent"),
    gpu_memory_percent: gauge("system_gpu_memory_usage_percent"),
    training_epoch: training("training_epoch"),
    training_epochs_planned: training("training_epochs_planned"),
    training_loss: training("training_loss", "train"),
    validation_loss: training("training_loss", "validation"),
    training_accuracy: training("training_accuracy_ratio", "train"),
    validation_accuracy: training("training_accuracy_ratio", "validation"),
    training_images_per_second: training("training_images_per_second"),
  };
  const classes = (later.get("model_predictions_total") ?? []).map(
    ({ labels, value }) => [String(labels.predicted_class), value] as const,
  );
  return { time: after.time, values, classes: Object.fromEntries(classes) };
}

type Index = ReadonlyMap<string, readonly MetricSample[]>;

function index(samples: readonly MetricSample[]): Index {
  const byName = new Map<string, MetricSample[]>();
  for (const sample of samples) {
    const list = byName.get(sample.name);
    if (list === undefined) byName.set(sample.name, [sample]);
    else list.push(sample);
  }
  return byName;
}

function keyOf({ labels }: MetricSample): string {
  return JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** As Prometheus' histogram_quantile: linear within a bucket; null without requests in between. */
function latencyQuantiles(shares: readonly number[], earlier: Index, later: Index): (number | null)[] {
  const counts = new Map<number, number>();
  const collect = (samples: readonly MetricSample[] | undefined, sign: number): void => {
    for (const { labels, value } of samples ?? []) {
      if (!predicting.test(String(labels.endpoint))) continue;
      const bound = labels.le === "+Inf" ? Number.POSITIVE_INFINITY : Number(labels.le);
      counts.set(bound, (counts.get(bound) ?? 0) + sign * value);
    }
  };
  collect(later.get("api_request_duration_seconds_bucket"), 1);
  collect(earlier.get("api_request_duration_seconds_bucket"), -1);
  const buckets = [...counts].sort(([a], [b]) => a - b);
  const total = buckets.at(-1)?.[1] ?? 0;
  return shares.map((share) => {
    if (total <= 0) return null;
    const rank = share * total;
    let [lower, below] = [0, 0];
    for (const [bound, count] of buckets) {
      if (count >= rank) {
        if (bound === Number.POSITIVE_INFINITY) return lower;
        return lower + ((bound - lower) * (rank - below)) / Math.max(1e-9, count - below);
      }
      [lower, below] = [bound, count];
    }
    return lower;
  });
}

const finite = (value: number | undefined): number | null => (Number.isFinite(value) ? value! : null);
const scaled = (value: number | null, factor: number): number | null => (value === null ? null : value * factor);
