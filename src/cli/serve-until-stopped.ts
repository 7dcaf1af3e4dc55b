import type { Config } from "../config/schema.ts";
import { ApiKeys, readApiKeys } from "../http/access/api-keys.ts";
import type { Bundle } from "../inference/bundle.ts";
import { Alerts } from "../observability/alerts/alerts.ts";
import type { LogLevel } from "../observability/logger.ts";
import { createProcessMetrics } from "../observability/process-metrics.ts";
import { trackingProbe } from "../observability/tracking-probe.ts";
import { trainingMetrics } from "../observability/training-progress.ts";
import { type RunningServer, startServer } from "../serving/server.ts";
import { trackingTarget } from "../tracking/open.ts";
import { note, type Terminal } from "./display/terminal.ts";
import { onInterrupt } from "./interrupt.ts";
import { openConfiguredLog } from "./service-log.ts";
import { packageVersion } from "./version.ts";

export interface ServeOptions {
  readonly config: Config;
  readonly bundle: Bundle;
  /** From which level lines also go to the console. */
  readonly consoleLevel: LogLevel;
  readonly onListening: (server: RunningServer) => void;
  /** Other servers stop meanwhile. */
  readonly onStopping?: () => void;
}

/** Serves a bundle until Ctrl-C or SIGTERM; requests that have arrived are answered before the end. */
export async function serveUntilStopped(terminal: Terminal, options: ServeOptions): Promise<void> {
  const { config, bundle, consoleLevel, onListening, onStopping } = options;
  const { serving, monitoring } = config;
  using interrupt = onInterrupt(terminal, "stopping: finishing the requests that have arrived …");
  await using log = openConfiguredLog(config, { consoleLevel });
  const { logger } = log;
  using processMetrics = createProcessMetrics({ version: packageVersion() });
  const alerts = new Alerts({
    rulesPath: monitoring.rules_file,
    alertmanagerPath: monitoring.alertmanager_file,
    prometheusUrl: monitoring.prometheus_url,
    alertmanagerUrl: monitoring.alertmanager_url,
    logger,
  });
  const { window, interval_seconds: intervalSeconds, alpha, psi } = monitoring.drift;
  const tracking = trackingTarget(config.mlflow.tracking_uri, process.env);
  const watched = monitoring.tracking_url ?? (tracking.kind === "server" ? tracking.url : undefined);
  await using server = await startServer({
    bundle,
    host: serving.host,
    port: serving.port,
    workers: serving.workers,
    form: serving.form,
    maxBatchSize: serving.max_batch_size,
    maxDelayMs: serving.max_delay_ms,
    window: serving.batch_window,
    queueLimit: serving.queue_limit,
    maxLoadedModels: serving.max_loaded_models,
    maxUploadBytes: serving.max_upload_bytes,
    maxImagesPerRequest: serving.max_images_per_request,
    predictTimeoutMs: serving.predict_timeout_ms,
    uploadIdleTimeoutMs: serving.upload_idle_timeout_ms,
    uploadMinBytesPerSecond: serving.upload_min_bytes_per_second,
    drainDelayMs: serving.drain_delay_ms,
    shutdownTimeoutMs: serving.shutdown_timeout_ms,
    access: {
      keys: serving.api_keys_file === null ? new ApiKeys() : await readApiKeys(serving.api_keys_file),
      mode: serving.auth,
      predictionsNeedKey: serving.predictions_need_key,
      allowedHosts: serving.allowed_hosts,
      corsOrigins: serving.cors_origins,
      rateLimitPerSecond: serving.rate_limit_per_second ?? undefined,
      trustedProxies: serving.trusted_proxies,
    },
    alerts,
    logs: log,
    drift: { window, intervalSeconds, alpha, psi },
    metricSources: [
      log.source,
      processMetrics.source,
      alerts.source,
      trainingMetrics(monitoring.training_progress_file),
      ...(watched === undefined ? [] : [trackingProbe(watched)]),
    ],
    links: { ...(monitoring.grafana_url === null ? {} : { grafana: monitoring.grafana_url }) },
    logger,
    version: packageVersion(),
  });
  onListening(server);
  const { signal } = interrupt;
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  onStopping?.();
  // Ends here: the server answers what it has and closes.
  note(terminal, "stopped");
}
