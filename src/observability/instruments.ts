import { Counter, Gauge, Histogram } from "prom-client";
import type { ExpositionRegistry } from "./exposition.ts";
import type { MetricDefinition, metricTable } from "./metric-table.ts";

/** Of either format: instruments with exemplars want one of OpenMetrics. */
export type MetricRegistry = ExpositionRegistry["registry"];

type MetricTable = Readonly<Record<string, MetricDefinition>>;

interface InstrumentTypes<L extends string> {
  readonly counter: Counter<L>;
  readonly gauge: Gauge<L>;
  readonly histogram: Histogram<L>;
}

/** One instrument for each row of a table, of the row's type and with the row's labels. */
export type InstrumentsOf<T extends MetricTable> = {
  readonly [N in keyof T]: InstrumentTypes<T[N]["labels"][number]>[T[N]["type"]];
};

export type Instruments = InstrumentsOf<typeof metricTable>;

/** Figures that are read when somebody asks: it sets its instruments. Must not throw for what can be missing. */
export type MetricSource = (instruments: Instruments) => void | Promise<void>;

/** Makes the instruments of a whole table. A gauge without labels is NaN until it has a figure: not zero. */
export function createInstruments<const T extends MetricTable>(registry: MetricRegistry, table: T): InstrumentsOf<T> {
  const entries = Object.entries(table).map(([name, definition]) => [name, create(name, definition, registry)]);
  return Object.fromEntries(entries) as InstrumentsOf<T>;
}

function create(
  name: string,
  { type, help, labels, buckets, exemplars, initialValues = [] }: MetricDefinition,
  registry: MetricRegistry,
) {
  const options = { name, help, labelNames: [...labels], registers: [registry] };
  switch (type) {
    case "counter": {
      const counter = new Counter(options);
      for (const value of initialValues) counter.inc({ [labels[0]!]: value }, 0);
      return counter;
    }
    case "gauge": {
      const gauge = new Gauge(options);
      if (labels.length === 0) gauge.set(Number.NaN);
      return gauge;
    }
    case "histogram":
      return new Histogram({
        ...options,
        ...(buckets === undefined ? {} : { buckets: [...buckets] }),
        ...(exemplars === undefined ? {} : { enableExemplars: true }),
      });
    default:
      return type satisfies never;
  }
}

/** A counter whose value is kept elsewhere (by the kernel, in a file). */
export function setCounter<L extends string>(
  counter: Counter<L>,
  values: readonly (readonly [labels: Partial<Record<L, string>>, value: number])[],
): void {
  counter.reset();
  for (const [labels, value] of values) counter.inc(labels, value);
}
