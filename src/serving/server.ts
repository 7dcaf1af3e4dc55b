import type { AddressInfo } from "node:net";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { availableCores } from "../base/machine-limits.ts";
import { type AccessPolicy, loopbackPolicy } from "../http/access/policy.ts";
import { addressError, hostInUrl } from "../http/address.ts";
import { AsyncStack } from "../http/async-stack.ts";
import { boundedClose, defaultShutdownTimeoutMs } from "../http/close-server.ts";
import { type Bundle, listBundles } from "../inference/bundle.ts";
import type { FormChoice } from "../inference/forms/choose-forms.ts";
import { splitCores } from "../inference/predictor.ts";
import type { DriftOptions } from "../observability/drift/drift-monitor.ts";
import type { MetricSource } from "../observability/instruments.ts";
import { createLogger, type Logger } from "../observability/logger.ts";
import { createServiceMetrics } from "../observability/metrics.ts";
import { createSystemMonitor } from "../observability/system.ts";
import { createApp } from "./app.ts";
import {
  type AlertsService,
  defaultServingLimits,
  type LogsService,
  type ServiceLinks,
  type ServingLimits,
} from "./dependencies.ts";
import { modelMetrics } from "./model-metrics.ts";
import { ModelRepository } from "./model-repository.ts";
import { openModel } from "./open-model.ts";
import { ServedDrift } from "./served-drift.ts";

export interface ServerOptions extends ServingLimits {
  /** A bundle that was read and checked, or the folder of one. */
  readonly bundle: Bundle | string;
  /** Folder whose bundles /models lists; default: the one that holds the bundle. */
  readonly modelsDirectory?: string;
  /** Default 127.0.0.1: reachable from this machine only. */
  readonly host?: string;
  /** Default 8000; 0 takes a free port. */
  readonly port?: number;
  /** Worker threads with a copy of the model each, and threads within each; default: see splitCores. */
  readonly workers?: number;
  readonly threads?: number;
  /** Which form of the network serves; default "auto": what is quickest here. */
  readonly form?: FormChoice;
  readonly maxBatchSize?: number;
  readonly maxDelayMs?: number;
  readonly window?: "adaptive" | "fixed";
  readonly queueLimit?: number;
  /** Models in memory at once; default 4. */
  readonly maxLoadedModels?: number;
  /** Who may do what; `listenHost` is the server's own. */
  readonly access?: Partial<Omit<AccessPolicy, "listenHost">>;
  /** From the first word of the end (/health/ready says 503) to the closing of the listener, in ms; default 0. */
  readonly drainDelayMs?: number;
  /** From the closing of the listener to the end of what is still open; default 7 s. */
  readonly shutdownTimeoutMs?: number;
  readonly links?: ServiceLinks;
  readonly alerts?: AlertsService | undefined;
  readonly logs?: LogsService | undefined;
  readonly drift?: DriftOptions;
  /** Further figures for /metrics: process, logs, drift, training. */
  readonly metricSources?: readonly MetricSource[];
  readonly logger?: Logger;
  /** Version of the program, shown in /health and /docs. */
  readonly version?: string;
}

export interface RunningServer extends AsyncDisposable {
  /** "http://127.0.0.1:8000", with the port that was really taken. */
  readonly url: string;
  /** What was served at the start; models can be replaced later. */
  readonly bundle: Pick<Bundle, "directory" | "metadata">;
  readonly models: ModelRepository;
  /** Takes no new requests, answers those it has, ends the workers. Safe to call twice. */
  close(): Promise<void>;
}

/**
 * Checks the bundle, warms the model up, then listens.
 * @throws BUNDLE_NOT_FOUND, BUNDLE_DAMAGED, INFERENCE_UNAVAILABLE, MODEL_REFUSED, ADDRESS_UNAVAILABLE
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { host = "127.0.0.1", port = 8000, maxBatchSize = 32, version = "0.0.0" } = options;
  const logger = options.logger ?? createLogger();
  const split = splitCores(availableCores());
  const workers = options.workers ?? split.workers;
  const threads = options.threads ?? Math.max(1, Math.floor(availableCores() / workers));
  const limits = pick(options, Object.keys(defaultServingLimits) as (keyof ServingLimits)[]);
  const { maxUploadBytes: maxBytes, maxPixels } = { ...defaultServingLimits, ...limits };

  await using stack = new AsyncStack();
  const system = createSystemMonitor({
    diskPath: typeof options.bundle === "string" ? options.bundle : options.bundle.directory,
  });
  const active = () => models?.active.bundle.metadata;
  const drift = new ServedDrift(active, options.drift);
  const metrics = createServiceMetrics({
    system,
    queueLength: () => models?.waiting ?? 0,
    queueLimit: options.queueLimit ?? 256,
    sources: [modelMetrics(active), drift.source, ...(options.metricSources ?? [])],
  });
  const open = async (source: Bundle | string) => {
    const started = performance.now();
    const model = await openModel(source, {
      workers,
      threads,
      maxBatchSize,
      ...{ form: options.form ?? "auto", version },
      ...pick(options, ["maxDelayMs", "window", "queueLimit"]),
      imageLimits: { maxBytes, maxPixels },
      logger,
      onBatch: (size, form) => metrics.observe({ type: "batch", size, form }),
    });
    metrics.observe({ type: "load", seconds: (performance.now() - started) / 1000 });
    return model;
  };
  let models: ModelRepository | undefined;
  const initial = await open(options.bundle);
  const modelsDirectory = options.modelsDirectory ?? dirname(initial.bundle.directory);
  models = stack.use(
    new ModelRepository({
      initial,
      open,
      list: () => listBundles(modelsDirectory, { check: "metadata" }),
      ...(options.maxLoadedModels === undefined ? {} : { maxLoaded: options.maxLoadedModels }),
      onListing: (outcome) => metrics.observe({ type: "cache", cache: "model_listing", outcome }),
      onReload({ outcome, name, error, requestId }) {
        metrics.observe({ type: "reload", outcome });
        const fields = { channel: "system", model: name, reqId: requestId };
        if (outcome === "loaded") logger.info(fields, "model loaded");
        if (outcome === "refused") logger.error({ ...fields, err: error }, "model refused");
      },
    }),
  );
  let accepting = true;
  const app = await createApp({
    models,
    metrics,
    system,
    logger,
    version,
    limits,
    access: { ...loopbackPolicy, ...options.access, listenHost: host },
    links: options.links ?? {},
    drift,
    alerts: options.alerts,
    logs: options.logs,
    accepting: () => accepting,
  });
  const closeWithin = boundedClose(app.server);
  const { shutdownTimeoutMs = defaultShutdownTimeoutMs } = options;
  stack.defer(async () => {
    logger.info({ channel: "system" }, "stopping");
    accepting = false;
    if (options.drainDelayMs !== undefined) await sleep(options.drainDelayMs);
    await closeWithin({ close: () => app.close(), timeoutMs: shutdownTimeoutMs });
  });
  try {
    await app.listen({ host, port });
  } catch (cause) {
    throw addressError(cause, host, port);
  }
  const address = app.server.address() as AddressInfo;
  const url = `http://${hostInUrl(host)}:${address.port}`;
  logger.info(
    { channel: "system", url, model: initial.bundle.metadata.name, workers, threads, maxBatchSize },
    "listening",
  );

  const resources = stack.move();
  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= resources[Symbol.asyncDispose]();
    return closing;
  };
  return { url, bundle: initial.bundle, models, close, [Symbol.asyncDispose]: close };
}

function pick<T extends object, K extends keyof T>(source: T, keys: readonly K[]): Pick<T, K> {
  return Object.fromEntries(keys.filter((key) => source[key] !== undefined).map((key) => [key, source[key]])) as Pick<
    T,
    K
  >;
}
