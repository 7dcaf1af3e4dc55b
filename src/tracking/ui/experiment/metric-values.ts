import { useState } from "preact/hooks";
import { histories, rangeKey, searchRanges } from "../api.ts";
import type { Run } from "../runs/run.ts";
import { useWork } from "../work.ts";
import { lastValues, type MetricValues, rangeValues, stepValues, type ValueKind } from "./columns.ts";

/** Values at a step are read for so many runs, the first of the table: a request for each metric and 100 runs. */
const maxRunsAtStep = 1000;

interface MetricValuesOptions {
  readonly runs: readonly Run[];
  readonly kind: ValueKind;
  readonly step: number;
  /** Metrics of the table. */
  readonly metrics: readonly string[];
}

/** The values of metrics that the table shows: the last ones until the others are there. */
export function useMetricValues({ runs, kind, step, metrics }: MetricValuesOptions): MetricValues {
  const [values, setValues] = useState(lastValues);
  useWork(
    async (signal) => {
      const found = await read({ runs, kind, step, metrics }, signal);
      if (!signal.aborted) setValues(found);
    },
    [runs, kind, step, kind === "step" ? metrics.join("\n") : ""],
  );
  return kind === "last" ? lastValues : values;
}

async function read({ runs, kind, step, metrics }: MetricValuesOptions, signal: AbortSignal): Promise<MetricValues> {
  switch (kind) {
    case "last":
      return lastValues;
    case "min":
    case "max":
      return rangeValues(kind, await searchRanges(runs.map(({ id }) => id)));
    case "step": {
      const ids = runs.slice(0, maxRunsAtStep).map(({ id }) => id);
      const part = { maxPoints: 4, start_step: step, end_step: step };
      const found = new Map<string, number>();
      for (const metric of metrics)
        for (const [id, points] of await histories(ids, metric, part, signal)) {
          const point = points.at(-1);
          if (point !== undefined) found.set(rangeKey(id, metric), point.value);
        }
      return stepValues(step, found);
    }
    default:
      return kind satisfies never;
  }
}
