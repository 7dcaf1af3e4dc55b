import { Counter, type Metric, type OpenMetricsContentType, Registry } from "prom-client";
import type { MetricName } from "./metric-table.ts";

/** One value of a metric at one moment; a histogram has several (`_bucket`, `_sum`, `_count`). */
export interface MetricSample {
  readonly metric: MetricName;
  readonly name: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

export interface Exposition {
  readonly contentType: string;
  readonly text: string;
}

export interface ExpositionRegistry {
  /** Where the instruments are made. */
  readonly registry: Registry<OpenMetricsContentType>;
  /** OpenMetrics, with exemplars, for those who accept it; else the text format 0.0.4. */
  render(accept: string | undefined): Promise<Exposition>;
  samples(): Promise<readonly MetricSample[]>;
}

/** The same instruments in both exposition formats. */
export function createExposition(): ExpositionRegistry {
  const openMetrics = new Registry<OpenMetricsContentType>();
  openMetrics.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  let text: Registry | undefined;
  return {
    registry: openMetrics,
    async render(accept) {
      // All instruments are there by the first scrape.
      text ??= textRegistry(openMetrics);
      const chosen = acceptsOpenMetrics(accept) ? openMetrics : text;
      return { contentType: chosen.contentType, text: await chosen.metrics() };
    },
    async samples() {
      text ??= textRegistry(openMetrics);
      const metrics = await text.getMetricsAsJSON();
      return metrics.flatMap(({ name, values }) =>
        values.map((value) => ({
          metric: name as MetricName,
          name: "metricName" in value && value.metricName !== undefined ? String(value.metricName) : name,
          labels: value.labels as MetricSample["labels"],
          value: value.value,
        })),
      );
    },
  };
}

function textRegistry(openMetrics: ExpositionRegistry["registry"]): Registry {
  const text = new Registry();
  for (const metric of openMetrics.getMetricsAsArray() as unknown as Metric[]) {
    // An OpenMetrics registry takes `_total` from a counter's name when it renders it: here it keeps its own.
    const { name } = metric as unknown as { readonly name: string };
    text.registerMetric(metric instanceof Counter ? Object.create(metric, { name: { value: name } }) : metric);
  }
  return text;
}

/** Media types of an Accept header are a list; a quality of 0 refuses one (RFC 9110, 12.5.1). */
export function acceptsOpenMetrics(accept = ""): boolean {
  return accept
    .split(",")
    .map((range) => range.split(";").map((part) => part.trim().toLowerCase()))
    .some(
      ([type, ...parameters]) =>
        type === "application/openmetrics-text" && !parameters.some((parameter) => /^q=0(?:\.0*)?$/.test(parameter)),
    );
}
