export interface MetricDefinition {
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly labels: readonly string[];
  /** Upper bounds of a histogram's buckets, in the metric's unit. */
  readonly buckets?: readonly number[];
}

const latencyBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10] as const;

/** Every metric that the service exposes: the one source of names, types, help, labels and buckets. */
export const metricTable = {
  api_requests_total: {
    type: "counter",
    help: "HTTP requests answered, by method, route pattern and status code",
    labels: ["method", "endpoint", "status"],
  },
  api_request_duration_seconds: {
    type: "histogram",
    help: "Time from the arrival of a request to the end of its response, in seconds",
    labels: ["method", "endpoint"],
    buckets: latencyBuckets,
  },
  api_error_rate: {
    type: "gauge",
    help: "Percentage of the requests of the last 60 seconds that were answered with a 4xx or 5xx status",
    labels: [],
  },
  api_requests_per_second: {
    type: "gauge",
    help: "Requests answered per second, mean of the last 60 seconds",
    labels: [],
  },
  model_predictions_total: {
    type: "counter",
    help: "Images classified, by predicted class",
    labels: ["predicted_class"],
  },
  model_inference_duration_seconds: {
    type: "histogram",
    help: "Computing time of the model run that an image was part of, in seconds, without decoding and waiting",
    labels: ["device"],
    buckets: latencyBuckets,
  },
  model_confidence_score: {
    type: "gauge",
    help: "Calibrated probability of the predicted class, most recent prediction (0 to 1; NaN before the first)",
    labels: [],
  },
  model_avg_confidence_score: {
    type: "gauge",
    help: "Mean calibrated probability of the predicted class over the last 60 seconds (NaN without predictions)",
    labels: [],
  },
  system_cpu_usage_percent: {
    type: "gauge",
    help: "CPU time used by the whole machine since the previous sample, percent of all cores",
    labels: [],
  },
  system_memory_usage_percent: {
    type: "gauge",
    help: "Memory of the machine that is not available to programs, percent",
    labels: [],
  },
  system_disk_usage_percent: {
    type: "gauge",
    help: "Used space of the file system that holds the models, percent",
    labels: [],
  },
} as const satisfies Record<string, MetricDefinition>;

export type MetricName = keyof typeof metricTable;
