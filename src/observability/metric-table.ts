export interface MetricDefinition {
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly labels: readonly string[];
  /** What one of it is, where the name does not end in it: see unitOf. */
  readonly unit?: string;
  /** Upper bounds of a histogram's buckets, in the metric's unit. */
  readonly buckets?: readonly number[];
  /** Of a counter with one label: values that are 0 from the start, so that their first increase is seen as one. */
  readonly initialValues?: readonly string[];
  /** Whether OpenMetrics scrapes get the request id of a recent observation with each bucket. */
  readonly exemplars?: true;
}

const latencyBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10] as const;

/** Every metric that the service exposes: the one source of names, types, help, labels and buckets. */
export const metricTable = {
  api_requests_total: {
    type: "counter",
    unit: "requests",
    help: "HTTP requests answered, by method, route pattern and status code",
    labels: ["method", "endpoint", "status"],
  },
  api_request_duration_seconds: {
    type: "histogram",
    help: "Time from the arrival of a request to the end of its response, in seconds",
    labels: ["method", "endpoint"],
    exemplars: true,
    buckets: latencyBuckets,
  },
  api_error_rate: {
    type: "gauge",
    unit: "percent",
    help: "Percentage of the requests of the last 60 seconds that were answered with a 4xx or 5xx status",
    labels: [],
  },
  api_requests_per_second: {
    type: "gauge",
    unit: "requests per second",
    help: "Requests answered per second, mean of the last 60 seconds",
    labels: [],
  },
  model_predictions_total: {
    type: "counter",
    unit: "images",
    help: "Images classified, by predicted class",
    labels: ["predicted_class"],
  },
  model_inference_duration_seconds: {
    type: "histogram",
    help: "Computing time of the model run that an image was part of, in seconds, without decoding and waiting",
    labels: ["device"],
    exemplars: true,
    buckets: latencyBuckets,
  },
  model_queue_duration_seconds: {
    type: "histogram",
    help: "Time that an image waited for its model run after decoding, in seconds",
    labels: [],
    buckets: latencyBuckets,
  },
  model_batch_size: {
    type: "histogram",
    unit: "images",
    help: "Images in one model run",
    labels: [],
    buckets: [1, 2, 4, 8, 16, 32, 64, 128],
  },
  model_form_images_total: {
    type: "counter",
    unit: "images",
    help: "Images that the network has answered, by the form of it that ran them: see docs/serving-forms.md",
    labels: ["form"],
    initialValues: ["portable", "machine", "int8"],
  },
  model_queue_length: {
    type: "gauge",
    unit: "images",
    help: "Images that wait for a model run at this moment",
    labels: [],
  },
  image_decode_duration_seconds: {
    type: "histogram",
    help: "Time to decode and resize one image, in seconds, waiting for a decoder included",
    labels: [],
    buckets: latencyBuckets,
  },
  api_rejections_total: {
    type: "counter",
    unit: "requests",
    help: "Requests refused before any work was done for them, by error code",
    labels: ["reason"],
    initialValues: [
      "QUEUE_FULL",
      "DEADLINE_EXCEEDED",
      "RATE_LIMITED",
      "UNAUTHENTICATED",
      "FORBIDDEN",
      "HOST_NOT_ALLOWED",
      "ORIGIN_NOT_ALLOWED",
      "SHUTTING_DOWN",
    ],
  },
  model_reloads_total: {
    type: "counter",
    unit: "attempts",
    help: "Attempts to load a model while serving; refused: it failed its self-check and the old one stayed",
    labels: ["outcome"],
    initialValues: ["loaded", "refused"],
  },
  model_load_duration_seconds: {
    type: "histogram",
    help: "Time to take a model into service, at the start or while serving, in seconds: read, load, warm up and self-check",
    labels: [],
    buckets: [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120],
  },
  model_feedback_total: {
    type: "counter",
    unit: "labels",
    help: "True labels reported for predictions, by whether the prediction was right",
    labels: ["outcome"],
    initialValues: ["right", "wrong"],
  },
  model_live_accuracy_ratio: {
    type: "gauge",
    help: "Share of right predictions among those whose true label was reported (0 to 1; NaN without any)",
    labels: [],
  },
  model_confidence_score: {
    type: "gauge",
    unit: "ratio",
    help: "Calibrated probability of the predicted class, most recent prediction (0 to 1; NaN before the first)",
    labels: [],
  },
  model_avg_confidence_score: {
    type: "gauge",
    unit: "ratio",
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
  api_requests_in_progress: {
    type: "gauge",
    unit: "requests",
    help: "Requests that have arrived and are not answered yet",
    labels: [],
  },
  model_queue_limit: {
    type: "gauge",
    unit: "images",
    help: "Most images that may wait for a model run; more are refused",
    labels: [],
  },
  model_info: {
    type: "gauge",
    help: "Always 1; the labels describe the served model",
    labels: ["name", "architecture", "dataset"],
  },
  model_loaded_timestamp_seconds: {
    type: "gauge",
    help: "When the served model was loaded, seconds since 1970",
    labels: [],
  },
  cache_requests_total: {
    type: "counter",
    unit: "look-ups",
    help: "Look-ups in caches of the service, by cache and outcome (hit, miss)",
    labels: ["cache", "outcome"],
  },
  model_drift_score: {
    type: "gauge",
    help: "Distance of recent predictions from the reference of the model, by statistic (ks, mmd, psi_confidence, psi_class)",
    labels: ["statistic"],
  },
  model_drift_p_value: {
    type: "gauge",
    unit: "ratio",
    help: "Probability of such a distance without drift, corrected for the number of tests, by statistic (ks, mmd)",
    labels: ["statistic"],
  },
  model_drift_detected: {
    type: "gauge",
    help: "1 while recent predictions differ from the reference of the model, else 0 (NaN until a window is full)",
    labels: [],
  },
  model_drift_window_predictions: {
    type: "gauge",
    unit: "predictions",
    help: "Predictions in the window that is compared with the reference",
    labels: [],
  },
  model_estimated_accuracy_ratio: {
    type: "gauge",
    help: "Accuracy of recent predictions estimated from calibrated confidence, corrected by feedback (0 to 1)",
    labels: [],
  },
  system_gpu_usage_percent: {
    type: "gauge",
    help: "Time in which the GPU computed, percent; absent without GPU",
    labels: ["gpu"],
  },
  system_gpu_memory_usage_percent: {
    type: "gauge",
    help: "Used memory of the GPU, percent; absent without GPU",
    labels: ["gpu"],
  },
  system_network_receive_bytes_total: {
    type: "counter",
    help: "Bytes received over all network interfaces but loopback since the machine started",
    labels: [],
  },
  system_network_transmit_bytes_total: {
    type: "counter",
    help: "Bytes sent over all network interfaces but loopback since the machine started",
    labels: [],
  },
  system_disk_read_bytes_total: {
    type: "counter",
    help: "Bytes read from all disks since the machine started",
    labels: [],
  },
  system_disk_written_bytes_total: {
    type: "counter",
    help: "Bytes written to all disks since the machine started",
    labels: [],
  },
  process_cpu_seconds_total: {
    type: "counter",
    help: "CPU time of this process, user and system, all threads, in seconds",
    labels: [],
  },
  process_resident_memory_bytes: {
    type: "gauge",
    help: "Resident memory of this process",
    labels: [],
  },
  process_open_fds: {
    type: "gauge",
    unit: "files",
    help: "Open files, sockets and pipes of this process (NaN where there is no /proc)",
    labels: [],
  },
  process_start_time_seconds: {
    type: "gauge",
    help: "When this process started, seconds since 1970",
    labels: [],
  },
  nodejs_heap_used_bytes: {
    type: "gauge",
    help: "Used part of the JavaScript heap of the main thread",
    labels: [],
  },
  nodejs_active_handles: {
    type: "gauge",
    unit: "handles",
    help: "Sockets, timers, workers and other resources that keep the event loop of this process alive",
    labels: [],
  },
  nodejs_eventloop_lag_seconds: {
    type: "gauge",
    help: "Delay of the event loop since the previous reading, by statistic (p50, p99, max)",
    labels: ["statistic"],
  },
  build_info: {
    type: "gauge",
    help: "Always 1; the labels name the versions of the program and of Node.js",
    labels: ["version", "node"],
  },
  log_lines_total: {
    type: "counter",
    unit: "lines",
    help: "Log lines, by level",
    labels: ["level"],
  },
  log_failures_total: {
    type: "counter",
    unit: "lines",
    help: "Log lines that a destination did not take (full disk, missing rights, no connection), by destination",
    labels: ["destination"],
  },
  log_rotations_total: {
    type: "counter",
    unit: "files",
    help: "Log files that were full and began anew",
    labels: [],
  },
  alert_config_changes_total: {
    type: "counter",
    unit: "changes",
    help: "Changes of recipients and thresholds asked for through the API, by outcome (applied, rejected, rolled_back)",
    labels: ["outcome"],
    initialValues: ["applied", "rejected", "rolled_back"],
  },
  training_in_progress: {
    type: "gauge",
    help: "1 while a training on this machine reports progress, else 0",
    labels: [],
  },
  training_epoch: {
    type: "gauge",
    unit: "epochs",
    help: "Epochs finished by the current or last training",
    labels: [],
  },
  training_step: {
    type: "gauge",
    unit: "steps",
    help: "Optimiser steps done by the current or last training",
    labels: [],
  },
  training_epochs_planned: {
    type: "gauge",
    unit: "epochs",
    help: "Epochs that the current or last training is to have",
    labels: [],
  },
  training_loss: {
    type: "gauge",
    help: "Loss of the current or last training at its last epoch, by split (train, validation)",
    labels: ["split"],
  },
  training_accuracy_ratio: {
    type: "gauge",
    help: "Accuracy of the current or last training at its last epoch, by split (train, validation)",
    labels: ["split"],
  },
  training_learning_rate: {
    type: "gauge",
    help: "Learning rate at the last step of the current or last training",
    labels: [],
  },
  training_images_per_second: {
    type: "gauge",
    unit: "images per second",
    help: "Training images per second, mean of the last epoch",
    labels: [],
  },
  training_last_update_timestamp_seconds: {
    type: "gauge",
    help: "When a training last reported progress, seconds since 1970",
    labels: [],
  },
  training_last_run_failed: {
    type: "gauge",
    help: "1 when the last training on this machine ended in an error or fell silent, else 0",
    labels: [],
  },
  training_runs_total: {
    type: "counter",
    unit: "runs",
    help: "Trainings ended on this machine, by outcome (completed, stopped, failed)",
    labels: ["outcome"],
    initialValues: ["completed", "stopped", "failed"],
  },
  tracking_up: {
    type: "gauge",
    help: "1 when the tracking server answers, 0 when it does not; NaN where none is configured",
    labels: [],
  },
  tuning_trials: {
    type: "gauge",
    unit: "trials",
    help: "Trials of the current or last tuning, by state (running, completed, pruned, failed)",
    labels: ["state"],
  },
  tuning_best_value: {
    type: "gauge",
    help: "Best objective value of the current or last tuning",
    labels: [],
  },
} as const satisfies Record<string, MetricDefinition>;

export type MetricName = keyof typeof metricTable;

/** The base unit that ends the name, or the row's own; "none" for what has no unit. */
export function unitOf(name: MetricName): string {
  const { unit }: MetricDefinition = metricTable[name];
  return unit ?? /_(seconds|bytes|percent|ratio)(?:_total)?$/.exec(name)?.[1] ?? "none";
}
