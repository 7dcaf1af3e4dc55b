import { createExposition, type Exposition, type MetricSample } from "./exposition.ts";
import { createInstruments, type MetricSource } from "./instruments.ts";
import { metricTable } from "./metric-table.ts";
import { RollingWindow } from "./rolling-window.ts";
import type { SystemMonitor } from "./system.ts";
import { systemMetrics } from "./system-metrics.ts";

export interface RequestObservation {
  readonly method: string;
  /** The route's pattern, never the URL: clients can't create series. */
  readonly endpoint: string;
  readonly status: number;
  readonly seconds: number;
  readonly requestId: string;
}

export interface PredictionObservation {
  /** A class of the model. */
  readonly label: string;
  readonly confidence: number;
  readonly inferenceSeconds: number;
  /** Between decoding and the model run. */
  readonly queueSeconds: number;
  readonly decodeSeconds: number;
  readonly requestId: string;
}

/** What happened in serving that no request shows. */
export type ServingEvent =
  | { readonly type: "batch"; readonly size: number; readonly form: "portable" | "machine" | "int8" }
  | { readonly type: "rejection"; readonly reason: string }
  | { readonly type: "reload"; readonly outcome: "loaded" | "refused" }
  | { readonly type: "load"; readonly seconds: number }
  | { readonly type: "feedback"; readonly outcome: "right" | "wrong"; readonly accuracy: number }
  | { readonly type: "cache"; readonly cache: "model_listing"; readonly outcome: "hit" | "miss" };

export interface ServiceMetrics {
  observeRequest(observation: RequestObservation): void;
  observePrediction(observation: PredictionObservation): void;
  observe(event: ServingEvent): void;
  /** Between the two a request counts as in progress. */
  requestStarted(): void;
  requestEnded(): void;
  /** The exposition that the scraper's Accept header prefers; reads the figures that are not counted at this moment. */
  render(accept?: string): Promise<Exposition>;
  /** The same figures as values. */
  samples(): Promise<readonly MetricSample[]>;
}

export interface ServiceMetricsOptions {
  readonly system: SystemMonitor;
  /** "cpu" or the execution provider: the label of model_inference_duration_seconds. */
  readonly device?: string;
  /** Images that wait for a model run now. */
  readonly queueLength?: () => number;
  /** Most images that may wait. */
  readonly queueLimit?: number;
  /** Further figures: process, logs, drift, training. */
  readonly sources?: readonly MetricSource[];
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

/** Methods that get their own series; anything else counts as OTHER. */
const methods = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

/** The service's metrics on a registry of their own: two services in one process don't disturb each other. */
export function createServiceMetrics({
  system,
  device = "cpu",
  queueLength = () => 0,
  queueLimit = Number.NaN,
  sources = [],
  now = () => performance.now(),
}: ServiceMetricsOptions): ServiceMetrics {
  const exposition = createExposition();
  const instruments = createInstruments(exposition.registry, metricTable);
  const recent = new RollingWindow(["requests", "errors", "predictions", "confidence"], { seconds: 60, now });
  const allSources = [systemMetrics(system), ...sources];
  instruments.model_queue_limit.set(queueLimit);
  instruments.api_requests_in_progress.set(0);

  /** Sets the gauges that are read, not counted. */
  async function read(): Promise<void> {
    const sums = recent.sums();
    instruments.api_error_rate.set(sums.requests === 0 ? 0 : (100 * sums.errors) / sums.requests);
    instruments.api_requests_per_second.set(sums.requests / recent.coveredSeconds);
    instruments.model_avg_confidence_score.set(
      sums.predictions === 0 ? Number.NaN : sums.confidence / sums.predictions,
    );
    instruments.model_queue_length.set(queueLength());
    await Promise.all(allSources.map((source) => source(instruments)));
  }

  return {
    observeRequest({ method, endpoint, status, seconds, requestId }) {
      const known = methods.has(method) ? method : "OTHER";
      instruments.api_requests_total.inc({ method: known, endpoint, status: String(status) });
      instruments.api_request_duration_seconds.observe({
        labels: { method: known, endpoint },
        value: seconds,
        exemplarLabels: exemplarOf(requestId),
      });
      recent.add({ requests: 1, errors: status >= 400 ? 1 : 0 });
    },
    observePrediction(observation) {
      instruments.model_predictions_total.inc({ predicted_class: observation.label });
      instruments.model_inference_duration_seconds.observe({
        labels: { device },
        value: observation.inferenceSeconds,
        exemplarLabels: exemplarOf(observation.requestId),
      });
      instruments.model_queue_duration_seconds.observe(observation.queueSeconds);
      instruments.image_decode_duration_seconds.observe(observation.decodeSeconds);
      instruments.model_confidence_score.set(observation.confidence);
      recent.add({ predictions: 1, confidence: observation.confidence });
    },
    observe(event) {
      switch (event.type) {
        case "batch":
          instruments.model_form_images_total.inc({ form: event.form }, event.size);
          return instruments.model_batch_size.observe(event.size);
        case "rejection":
          return instruments.api_rejections_total.inc({ reason: event.reason });
        case "reload":
          return instruments.model_reloads_total.inc({ outcome: event.outcome });
        case "load":
          return instruments.model_load_duration_seconds.observe(event.seconds);
        case "feedback":
          instruments.model_live_accuracy_ratio.set(event.accuracy);
          return instruments.model_feedback_total.inc({ outcome: event.outcome });
        case "cache":
          return instruments.cache_requests_total.inc({ cache: event.cache, outcome: event.outcome });
        default:
          return event satisfies never;
      }
    },
    requestStarted() {
      instruments.api_requests_in_progress.inc();
    },
    requestEnded() {
      instruments.api_requests_in_progress.dec();
    },
    async render(accept) {
      await read();
      return exposition.render(accept);
    },
    async samples() {
      await read();
      return exposition.samples();
    },
  };
}

/** OpenMetrics allows an exemplar's labels 128 characters in all. */
function exemplarOf(requestId: string): Record<string, string> {
  return requestId.length <= 128 - "request_id".length ? { request_id: requestId } : {};
}
