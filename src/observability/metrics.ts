import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { type MetricName, metricTable } from "./metric-table.ts";
import { RollingWindow } from "./rolling-window.ts";
import type { SystemMonitor } from "./system.ts";

type NamesOf<T extends "counter" | "gauge" | "histogram"> = {
  [N in MetricName]: (typeof metricTable)[N]["type"] extends T ? N : never;
}[MetricName];
type LabelsOf<N extends MetricName> = (typeof metricTable)[N]["labels"][number];

export interface RequestObservation {
  readonly method: string;
  /** The route's pattern, never the URL: clients can't create series. */
  readonly endpoint: string;
  readonly status: number;
  readonly seconds: number;
}

export interface PredictionObservation {
  /** A class of the model. */
  readonly label: string;
  readonly confidence: number;
  readonly inferenceSeconds: number;
}

export interface ServiceMetrics {
  observeRequest(observation: RequestObservation): void;
  observePrediction(observation: PredictionObservation): void;
  readonly contentType: string;
  /** Prometheus text exposition; reads the system figures at this moment. */
  render(): Promise<string>;
}

export interface ServiceMetricsOptions {
  readonly system: SystemMonitor;
  /** "cpu" or the execution provider: the label of model_inference_duration_seconds. */
  readonly device?: string;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

/** Methods that get their own series; anything else counts as OTHER. */
const methods = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

/** The service's metrics on a registry of their own: two services in one process don't disturb each other. */
export function createServiceMetrics({
  system,
  device = "cpu",
  now = () => performance.now(),
}: ServiceMetricsOptions): ServiceMetrics {
  const registry = new Registry();
  const counter = <N extends NamesOf<"counter">>(name: N): Counter<LabelsOf<N>> => {
    const { help, labels } = metricTable[name];
    return new Counter({ name, help, labelNames: [...labels] as LabelsOf<N>[], registers: [registry] });
  };
  const gauge = (name: NamesOf<"gauge">): Gauge => {
    return new Gauge({ name, help: metricTable[name].help, registers: [registry] });
  };
  const histogram = <N extends NamesOf<"histogram">>(name: N): Histogram<LabelsOf<N>> => {
    const { help, labels, buckets } = metricTable[name];
    const labelNames = [...labels] as LabelsOf<N>[];
    return new Histogram({ name, help, labelNames, buckets: [...buckets], registers: [registry] });
  };

  const requests = counter("api_requests_total");
  const durations = histogram("api_request_duration_seconds");
  const errorRate = gauge("api_error_rate");
  const requestsPerSecond = gauge("api_requests_per_second");
  const predictions = counter("model_predictions_total");
  const inferenceDurations = histogram("model_inference_duration_seconds");
  const confidence = gauge("model_confidence_score");
  const averageConfidence = gauge("model_avg_confidence_score");
  const cpu = gauge("system_cpu_usage_percent");
  const memory = gauge("system_memory_usage_percent");
  const disk = gauge("system_disk_usage_percent");
  confidence.set(Number.NaN);

  const recent = new RollingWindow(["requests", "errors", "predictions", "confidence"], { seconds: 60, now });

  return {
    contentType: registry.contentType,
    observeRequest({ method, endpoint, status, seconds }) {
      const known = methods.has(method) ? method : "OTHER";
      requests.inc({ method: known, endpoint, status: String(status) });
      durations.observe({ method: known, endpoint }, seconds);
      recent.add({ requests: 1, errors: status >= 400 ? 1 : 0 });
    },
    observePrediction(observation) {
      predictions.inc({ predicted_class: observation.label });
      inferenceDurations.observe({ device }, observation.inferenceSeconds);
      confidence.set(observation.confidence);
      recent.add({ predictions: 1, confidence: observation.confidence });
    },
    async render() {
      const sums = recent.sums();
      errorRate.set(sums.requests === 0 ? 0 : (100 * sums.errors) / sums.requests);
      requestsPerSecond.set(sums.requests / recent.coveredSeconds);
      averageConfidence.set(sums.predictions === 0 ? Number.NaN : sums.confidence / sums.predictions);
      const sample = await system.sample();
      cpu.set(sample.cpuPercent ?? Number.NaN);
      memory.set(sample.memoryPercent ?? Number.NaN);
      disk.set(sample.diskPercent ?? Number.NaN);
      return registry.metrics();
    },
  };
}
