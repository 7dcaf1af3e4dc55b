import type { MetricName } from "../../../src/observability/metric-table.ts";

/** A metric of the table, so that a renamed one does not compile. */
const m = (name: MetricName): MetricName => name;

/** Quantile of a histogram over the last minutes. */
const quantile = (q: number, name: MetricName, more = "") =>
  `histogram_quantile(${q}, sum by (le) (rate(${name}_bucket${more}[5m])))`;

const predict = '{endpoint="/predict"}';

export interface PanelDefinition {
  readonly title: string;
  readonly description: string;
  readonly type: "timeseries" | "stat" | "gauge";
  /** Grafana's word for the unit. */
  readonly unit: string;
  /** Legend to expression. */
  readonly queries: Readonly<Record<string, string>>;
  /** Values from which it is yellow and red. */
  readonly steps?: readonly [number, number];
  /** Value below which it is red, instead of `steps`. */
  readonly floor?: number;
  /** Alerts that look at what it shows: their runbooks are linked. */
  readonly alerts?: readonly string[];
  readonly max?: number;
  /** Of 24 columns; default 8. */
  readonly width?: number;
}

export interface DashboardDefinition {
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly rows: Readonly<Record<string, readonly PanelDefinition[]>>;
}

const series = (
  title: string,
  unit: string,
  queries: Readonly<Record<string, string>>,
  description: string,
  more: Partial<PanelDefinition> = {},
): PanelDefinition => ({ title, unit, queries, description, type: "timeseries", ...more });

const stat = (
  title: string,
  unit: string,
  expression: string,
  description: string,
  more: Partial<PanelDefinition> = {},
): PanelDefinition => ({
  title,
  unit,
  queries: { [title]: expression },
  description,
  type: "stat",
  width: 4,
  ...more,
});

const usage = (title: string, name: MetricName, steps: readonly [number, number], alert: string): PanelDefinition =>
  stat(title, "percent", `max(${name})`, `${title} of the busiest machine`, {
    ...{ type: "gauge", max: 100, steps, alerts: [alert] },
  });

const firing = 'count(ALERTS{alertstate="firing"}) or vector(0)';

export const dashboards: readonly DashboardDefinition[] = [
  {
    uid: "cifar-system-overview",
    title: "System Overview",
    description: "Machine, API and alerts at a glance",
    rows: {
      Now: [
        stat("Active Alerts", "none", firing, "Alerts that fire now", { steps: [1, 1] }),
        stat("API Instances Up", "none", 'sum(up{job="cifar10-api"})', "Instances that answer Prometheus", {
          floor: 1,
          alerts: ["APIServiceDown"],
        }),
        usage("CPU Usage", m("system_cpu_usage_percent"), [60, 80], "HighCPUUsage"),
        usage("Memory Usage", m("system_memory_usage_percent"), [60, 70], "HighMemoryUsage"),
        usage("Disk Usage", m("system_disk_usage_percent"), [40, 50], "LowDiskSpace"),
        stat("Requests per Second", "reqps", `sum(rate(${m("api_requests_total")}[1m]))`, "Mean of the last minute"),
      ],
      "System resources": [
        series(
          "CPU, Memory and Disk",
          "percent",
          {
            "CPU {{instance}}": m("system_cpu_usage_percent"),
            "memory {{instance}}": m("system_memory_usage_percent"),
            "disk {{instance}}": m("system_disk_usage_percent"),
          },
          "Usage of each machine",
          { max: 100, alerts: ["HighCPUUsage", "HighMemoryUsage", "LowDiskSpace"] },
        ),
        series(
          "Network I/O",
          "Bps",
          {
            "received {{instance}}": `rate(${m("system_network_receive_bytes_total")}[1m])`,
            "sent {{instance}}": `rate(${m("system_network_transmit_bytes_total")}[1m])`,
          },
          "Bytes a second over all interfaces but loopback",
        ),
        series(
          "Disk I/O",
          "Bps",
          {
            "read {{instance}}": `rate(${m("system_disk_read_bytes_total")}[1m])`,
            "written {{instance}}": `rate(${m("system_disk_written_bytes_total")}[1m])`,
          },
          "Bytes a second over all disks",
        ),
        series(
          "GPU Utilization",
          "percent",
          {
            "GPU {{gpu}}": m("system_gpu_usage_percent"),
          },
          "Time in which the GPU computed; empty without GPU",
          { max: 100 },
        ),
        series(
          "GPU Memory",
          "percent",
          {
            "GPU {{gpu}}": m("system_gpu_memory_usage_percent"),
          },
          "Used memory of the GPU; empty without GPU",
          { max: 100 },
        ),
      ],
      "API performance": [
        series(
          "Request Rate",
          "reqps",
          {
            "{{endpoint}} {{status}}": `sum by (endpoint, status) (rate(${m("api_requests_total")}[1m]))`,
            "all of {{instance}}": m("api_requests_per_second"),
          },
          "By route and status",
        ),
        series(
          "Error Rate",
          "percent",
          {
            "{{instance}}": m("api_error_rate"),
          },
          "Share of 4xx and 5xx among the answers of the last minute",
          { max: 100, steps: [10, 50], alerts: ["HighAPIErrorRate"] },
        ),
        series(
          "Response Times",
          "s",
          {
            p50: quantile(0.5, m("api_request_duration_seconds")),
            p95: quantile(0.95, m("api_request_duration_seconds")),
            p99: quantile(0.99, m("api_request_duration_seconds")),
          },
          "Quantiles over all routes",
          { steps: [1, 2], alerts: ["HighResponseTime"] },
        ),
        series(
          "In Progress",
          "none",
          {
            "{{instance}}": m("api_requests_in_progress"),
          },
          "Requests that have arrived and are not answered",
        ),
        series(
          "Rejections",
          "reqps",
          {
            "{{reason}}": `sum by (reason) (rate(${m("api_rejections_total")}[5m]))`,
          },
          "Requests refused before any work was done; empty without any",
          { alerts: ["QueueSaturation"] },
        ),
        series(
          "Cache Look-ups",
          "ops",
          {
            "{{cache}} {{outcome}}": `sum by (cache, outcome) (rate(${m("cache_requests_total")}[5m]))`,
          },
          "Hits and misses; empty before the first",
        ),
      ],
      Process: [
        series(
          "Event-loop Lag",
          "s",
          {
            "{{statistic}} {{instance}}": m("nodejs_eventloop_lag_seconds"),
          },
          "How late the main thread is",
        ),
        series(
          "Process Memory",
          "bytes",
          {
            "resident {{instance}}": m("process_resident_memory_bytes"),
            "heap {{instance}}": m("nodejs_heap_used_bytes"),
          },
          "Memory of the API",
        ),
        series(
          "Process CPU and Files",
          "short",
          {
            "CPU cores {{instance}}": `rate(${m("process_cpu_seconds_total")}[1m])`,
            "open files {{instance}}": m("process_open_fds"),
            "handles {{instance}}": m("nodejs_active_handles"),
          },
          "Cores in use, open files and sockets, and what keeps the event loop alive",
        ),
        series(
          "Log Lines",
          "ops",
          {
            "{{level}}": `sum by (level) (rate(${m("log_lines_total")}[1m]))`,
          },
          "By level",
          { alerts: ["LogLinesLost"] },
        ),
        stat("Uptime", "s", `time() - max(${m("process_start_time_seconds")})`, "Since the newest start"),
        stat("Version", "none", `count by (version, node) (${m("build_info")})`, "Instances of each version"),
      ],
    },
  },
  {
    uid: "cifar-model-performance",
    title: "Model Performance",
    description: "What the model answers, how sure it is and how long it takes",
    rows: {
      Now: [
        stat("Model Confidence", "percentunit", `avg(${m("model_confidence_score")})`, "The latest prediction", {
          floor: 0.6,
          alerts: ["LowModelConfidence"],
        }),
        stat("Average Confidence", "percentunit", `avg(${m("model_avg_confidence_score")})`, "The last minute", {
          floor: 0.6,
          alerts: ["LowModelConfidence"],
        }),
        stat("Prediction Count", "none", `sum(${m("model_predictions_total")})`, "Since the start"),
        stat("Inference Time", "s", quantile(0.5, m("model_inference_duration_seconds")), "Median of a model run"),
        stat(
          "Live Accuracy",
          "percentunit",
          `avg(${m("model_live_accuracy_ratio")})`,
          "By feedback; empty without any",
          { floor: 0.7, alerts: ["LowFeedbackAccuracy"] },
        ),
        stat("Served Model", "none", `count by (name) (${m("model_info")})`, "Instances of each model", {}),
      ],
      Predictions: [
        series(
          "Confidence",
          "percentunit",
          {
            "latest {{instance}}": m("model_confidence_score"),
            "mean {{instance}}": m("model_avg_confidence_score"),
          },
          "Calibrated probability of the predicted class",
          { max: 1, floor: 0.6, alerts: ["LowModelConfidence"] },
        ),
        series(
          "Predictions by Class",
          "ops",
          {
            "{{predicted_class}}": `sum by (predicted_class) (rate(${m("model_predictions_total")}[1m]))`,
          },
          "Images a second",
        ),
        series(
          "Feedback",
          "none",
          {
            "{{outcome}}": `sum by (outcome) (${m("model_feedback_total")})`,
          },
          "Reported labels; empty without any",
          { alerts: ["LowFeedbackAccuracy"] },
        ),
      ],
      Time: [
        series(
          "Inference Time",
          "s",
          {
            p50: quantile(0.5, m("model_inference_duration_seconds")),
            p95: quantile(0.95, m("model_inference_duration_seconds")),
            p99: quantile(0.99, m("model_inference_duration_seconds")),
          },
          "Model run that an image was part of",
        ),
        series(
          "Queue against Compute",
          "s",
          {
            "queue p95": quantile(0.95, m("model_queue_duration_seconds")),
            "compute p95": quantile(0.95, m("model_inference_duration_seconds")),
            "decode p95": quantile(0.95, m("image_decode_duration_seconds")),
          },
          "Where the time of a prediction goes",
        ),
        series(
          "Prediction Response Time",
          "s",
          {
            p50: quantile(0.5, m("api_request_duration_seconds"), predict),
            p95: quantile(0.95, m("api_request_duration_seconds"), predict),
            p99: quantile(0.99, m("api_request_duration_seconds"), predict),
          },
          "POST /predict, from arrival to answer",
          { steps: [1, 2], alerts: ["HighResponseTime", "LatencyBudgetBurnFast"] },
        ),
        series(
          "Queue Length",
          "none",
          {
            "waiting {{instance}}": m("model_queue_length"),
            "limit {{instance}}": m("model_queue_limit"),
          },
          "Images that wait for a model run",
          { alerts: ["QueueSaturation"] },
        ),
        series(
          "Batch Size",
          "none",
          {
            mean: `sum(rate(${m("model_batch_size")}_sum[5m])) / sum(rate(${m("model_batch_size")}_count[5m]))`,
            p95: quantile(0.95, m("model_batch_size")),
          },
          "Images in one model run",
        ),
        series(
          "Form of the Network",
          "none",
          { "{{form}}": `sum by (form) (rate(${m("model_form_images_total")}[5m]))` },
          "Images a second by the form that answered: model.onnx, the one for this machine, 8 bit",
        ),
        series(
          "Model Reloads",
          "none",
          {
            "{{outcome}}": `sum by (outcome) (${m("model_reloads_total")})`,
            "age in seconds": `time() - max(${m("model_loaded_timestamp_seconds")})`,
          },
          "Attempts to load a model while serving; how long the present one has served",
          { alerts: ["ModelReloadRefused"] },
        ),
        series(
          "Model Load Time",
          "s",
          {
            mean: `sum(${m("model_load_duration_seconds")}_sum) / sum(${m("model_load_duration_seconds")}_count)`,
            p95: `histogram_quantile(0.95, sum by (le) (${m("model_load_duration_seconds")}_bucket))`,
          },
          "Time to take a model into service since the service started",
        ),
      ],
    },
  },
  {
    uid: "cifar-slo-alerts",
    title: "SLO & Alerts",
    description: "The objective (99 % of predictions without server error in 30 days) and what fires",
    rows: {
      Objective: [
        stat("Availability, 1 h", "percentunit", "1 - api:error_ratio:rate1h", "Predictions without server error", {
          floor: 0.99,
          alerts: ["ErrorBudgetBurnFast"],
        }),
        stat("Availability, 6 h", "percentunit", "1 - api:error_ratio:rate6h", "Predictions without server error", {
          floor: 0.99,
          alerts: ["ErrorBudgetBurn"],
        }),
        stat("Availability, 3 d", "percentunit", "1 - api:error_ratio:rate3d", "Predictions without server error", {
          floor: 0.99,
          alerts: ["ErrorBudgetBurnSlow"],
        }),
        stat("Burn Rate, 1 h", "none", "api:error_ratio:rate1h / 0.01", "1 spends the budget in 30 days; 14.4 pages", {
          steps: [1, 14.4],
          alerts: ["ErrorBudgetBurnFast"],
        }),
        stat("Burn Rate, 6 h", "none", "api:error_ratio:rate6h / 0.01", "6 pages", {
          steps: [1, 6],
          alerts: ["ErrorBudgetBurn"],
        }),
        stat(
          "Latency, 1 h",
          "percentunit",
          "1 - api:slow_ratio:rate1h",
          "Predictions within half a second; objective 95 %",
          { floor: 0.95, alerts: ["LatencyBudgetBurnFast", "LatencyBudgetBurn"] },
        ),
        stat(
          "Latency, 3 d",
          "percentunit",
          "1 - api:slow_ratio:rate3d",
          "Predictions within half a second; objective 95 %",
          { floor: 0.95, alerts: ["LatencyBudgetBurnSlow"] },
        ),
        stat("Firing", "none", firing, "Alerts that fire now", { steps: [1, 1] }),
      ],
      History: [
        series(
          "Burn Rates",
          "none",
          {
            "5 m": "api:error_ratio:rate5m / 0.01",
            "30 m": "api:error_ratio:rate30m / 0.01",
            "1 h": "api:error_ratio:rate1h / 0.01",
            "6 h": "api:error_ratio:rate6h / 0.01",
            "latency, 5 m": "api:slow_ratio:rate5m / 0.05",
            "latency, 1 h": "api:slow_ratio:rate1h / 0.05",
          },
          "How many times faster than allowed the error budget is spent",
          {
            width: 12,
            steps: [1, 14.4],
            alerts: ["ErrorBudgetBurnFast", "ErrorBudgetBurn", "LatencyBudgetBurnFast", "LatencyBudgetBurn"],
          },
        ),
        series(
          "Alerts",
          "none",
          {
            "{{alertname}} {{alertstate}}": "sum by (alertname, alertstate) (ALERTS)",
          },
          "Pending and firing; empty when all is well",
          { width: 12 },
        ),
        series(
          "Latency Objective",
          "s",
          {
            p50: "api:request_duration_seconds:p50_5m",
            p95: "api:request_duration_seconds:p95_5m",
            p99: "api:request_duration_seconds:p99_5m",
          },
          "Predictions; the alert looks at p95",
          { width: 12, steps: [0.5, 2], alerts: ["HighResponseTime", "LatencyBudgetBurnSlow"] },
        ),
        series(
          "Notifications",
          "ops",
          {
            sent: 'sum(rate(alertmanager_notification_requests_total{integration="email"}[5m]))',
            failed: 'sum(rate(alertmanager_notification_requests_failed_total{integration="email"}[5m]))',
          },
          "Mails that Alertmanager handed over, and in vain",
          { width: 12 },
        ),
        series(
          "Alert Configuration Changes",
          "none",
          {
            "{{outcome}}": `sum by (outcome) (${m("alert_config_changes_total")})`,
          },
          "Changes through the API",
          { width: 12 },
        ),
        series(
          "Lost Log Lines",
          "none",
          {
            "{{destination}}": `sum by (destination) (increase(${m("log_failures_total")}[5m]))`,
            rotations: `sum(${m("log_rotations_total")})`,
          },
          "Destinations that do not take lines; rotations of files",
          { width: 12, alerts: ["LogLinesLost"] },
        ),
      ],
    },
  },
  {
    uid: "cifar-training-sweeps",
    title: "Training & Sweeps",
    description: "The current or last training and tuning of the machine that serves",
    rows: {
      Now: [
        stat("Training", "bool_on_off", `max(${m("training_in_progress")})`, "Whether one runs"),
        stat(
          "Last Run Failed",
          "bool_yes_no",
          `max(${m("training_last_run_failed")})`,
          "Ended in an error or fell silent",
          { steps: [1, 1], alerts: ["TrainingFailed"] },
        ),
        stat(
          "Tracking Server",
          "bool_on_off",
          `min(${m("tracking_up")})`,
          "Whether it answers; empty where none is watched",
          { floor: 1, alerts: ["TrackingUnreachable"] },
        ),
        stat("Epoch", "none", `max(${m("training_epoch")})`, "Finished epochs"),
        stat("Step", "none", `max(${m("training_step")})`, "Optimiser steps done"),
        stat("Epochs Planned", "none", `max(${m("training_epochs_planned")})`, "Of the whole training"),
        stat("Last Report", "s", `time() - max(${m("training_last_update_timestamp_seconds")})`, "Time since then"),
        stat(
          "Best Trial",
          "none",
          `max(${m("tuning_best_value")})`,
          "Objective of the best trial; empty without tuning",
        ),
      ],
      History: [
        series(
          "Loss",
          "none",
          { "{{split}}": `max by (split) (${m("training_loss")})` },
          "At the end of each epoch; empty without training",
        ),
        series(
          "Accuracy",
          "percentunit",
          {
            "{{split}}": `max by (split) (${m("training_accuracy_ratio")})`,
          },
          "At the end of each epoch; empty without training",
          { max: 1 },
        ),
        series("Learning Rate", "none", { rate: `max(${m("training_learning_rate")})` }, "At the last step"),
        series("Images per Second", "none", { images: `max(${m("training_images_per_second")})` }, "Of the last epoch"),
        series(
          "Trainings",
          "none",
          {
            "{{outcome}}": `max by (outcome) (${m("training_runs_total")})`,
          },
          "Ended ones, by outcome",
          { alerts: ["TrainingFailed"] },
        ),
        series(
          "Trials",
          "none",
          {
            "{{state}}": `max by (state) (${m("tuning_trials")})`,
          },
          "Of the current or last tuning; empty without one",
        ),
      ],
    },
  },
  {
    uid: "cifar-drift",
    title: "Drift",
    description: "Recent predictions and images against the reference in the model bundle",
    rows: {
      Now: [
        stat("Drift", "bool_yes_no", `max(${m("model_drift_detected")})`, "Empty until the window is full", {
          ...{ steps: [1, 1], alerts: ["ModelDrift"] },
        }),
        stat("Window", "none", `max(${m("model_drift_window_predictions")})`, "Predictions that are compared"),
        stat(
          "Estimated Accuracy",
          "percentunit",
          `min(${m("model_estimated_accuracy_ratio")})`,
          "From confidence and feedback",
        ),
        stat(
          "Live Accuracy",
          "percentunit",
          `avg(${m("model_live_accuracy_ratio")})`,
          "By feedback alone; empty without any",
          { floor: 0.7, alerts: ["LowFeedbackAccuracy"] },
        ),
      ],
      History: [
        series(
          "p-Values",
          "none",
          {
            "{{statistic}} {{instance}}": m("model_drift_p_value"),
          },
          "Corrected for the number of tests; small means drift; empty before enough predictions",
          { width: 12, max: 1, floor: 0.001, alerts: ["ModelDrift"] },
        ),
        series(
          "Scores",
          "none",
          {
            "{{statistic}} {{instance}}": m("model_drift_score"),
          },
          "Distances from the reference; empty before enough predictions",
          { width: 12, alerts: ["ModelDrift"] },
        ),
        series(
          "Accuracy",
          "percentunit",
          {
            "estimated {{instance}}": m("model_estimated_accuracy_ratio"),
            "by feedback {{instance}}": m("model_live_accuracy_ratio"),
          },
          "Estimated without labels, and of the labels that came",
          { width: 12, max: 1, floor: 0.7, alerts: ["LowFeedbackAccuracy"] },
        ),
        series(
          "Predicted Classes",
          "percentunit",
          {
            "{{predicted_class}}": `sum by (predicted_class) (rate(${m("model_predictions_total")}[5m])) / scalar(sum(rate(${m("model_predictions_total")}[5m])))`,
          },
          "Share of each class",
          { width: 12 },
        ),
      ],
    },
  },
];
