import { z } from "zod";
import { pathText } from "../path-text.ts";

const address = () =>
  z
    .url({ protocol: /^https?$/ })
    .nullable()
    .default(null);

export const monitoringSection = z
  .strictObject({
    log_dir: pathText()
      .nullable()
      .default("logs")
      .describe("Folder for the log files of `cifar serve` and `cifar up`. null: no files."),
    log_level: z
      .enum(["trace", "debug", "info", "warn", "error", "fatal"])
      .default("info")
      .describe("From which level lines are logged."),
    log_max_bytes: z
      .int()
      .min(1000)
      .default(10_000_000)
      .describe("Size at which a log file begins anew; its content goes to a backup."),
    log_backups: z
      .int()
      .min(0)
      .max(100)
      .default(5)
      .describe("Backups of each log file: NAME.1, the newest, to NAME.5."),
    syslog: z
      .string()
      .regex(/^(udp|tcp|unix):\/\/\S+$/, "must be udp://HOST:PORT, tcp://HOST:PORT or unix:///dev/log")
      .nullable()
      .default(null)
      .describe("Syslog server that gets start, stop, reloads and changes as RFC 5424. null: none."),
    prometheus_url: address().describe("Address of Prometheus, for /alerts/*. null: none."),
    alertmanager_url: address().describe("Address of Alertmanager, for /alerts/*. null: none."),
    grafana_url: address().describe("Address of Grafana, as a link on the page. null: none."),
    tracking_url: address().describe(
      "Address of the tracking server that is watched. null: that of mlflow.tracking_uri, where it is one.",
    ),
    rules_file: pathText()
      .default("monitoring/prometheus/alert_rules.yml")
      .describe("Rule file that Prometheus loads; POST /alerts/thresholds changes it."),
    alertmanager_file: pathText()
      .default("monitoring/alertmanager/alertmanager.yml")
      .describe("Configuration that Alertmanager loads; POST /alerts/recipients changes it."),
    training_progress_file: pathText()
      .default("runs/training-progress.json")
      .describe("Where trainings tell the service how they go."),
    drift: z
      .strictObject({
        window: z
          .int()
          .min(50)
          .max(20_000)
          .default(500)
          .describe("Latest predictions that are compared with the reference of the model."),
        interval_seconds: z
          .number()
          .min(0)
          .max(3600)
          .default(10)
          .describe("Least time between two comparisons, in seconds."),
        alpha: z
          .number()
          .gt(0)
          .lt(0.5)
          .default(0.001)
          .describe("Probability of a false alarm in one comparison, over all tests together."),
        psi: z
          .number()
          .gt(0)
          .default(0.25)
          .describe("Population stability index of classes or confidence from which it counts as drift."),
      })
      .prefault({})
      .describe("Drift of predictions and images against the reference in the model bundle."),
  })
  .describe("Logs, alerts and drift of the service.");
