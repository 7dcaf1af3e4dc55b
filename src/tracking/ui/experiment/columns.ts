import { type Range, rangeKey } from "../api.ts";
import { duration, time } from "../format.ts";
import { elapsed, isSystemMetric, type Run } from "../runs/run.ts";
import { fieldName } from "./filter-completion.ts";

/** Which of a metric's values stands in the table. */
export const valueKinds = { last: "last", min: "smallest", max: "largest", step: "at a step" } as const;
export type ValueKind = keyof typeof valueKinds;

export interface Column {
  /** What the server orders by, or "duration", which it can't. */
  readonly id: string;
  readonly title: string;
  /** In pixels. */
  readonly width: number;
  readonly kind: "text" | "number";
  /** Stands small below the title. */
  readonly note?: string;
  value(run: Run): string | number | undefined;
  text?(run: Run): string;
}

export interface MetricColumn extends Column {
  readonly metric: string;
  value(run: Run): number | undefined;
}

/** Columns that every run has. */
const fixedColumns: readonly Column[] = [
  { id: "attributes.run_name", title: "Run", width: 210, kind: "text", value: ({ name }) => name },
  { id: "attributes.status", title: "Status", width: 110, kind: "text", value: ({ status }) => status },
  {
    id: "attributes.start_time",
    title: "Started",
    width: 155,
    kind: "text",
    value: ({ start }) => start,
    text: ({ start }) => time(start),
  },
  {
    id: "duration",
    title: "Duration",
    width: 90,
    kind: "number",
    value: elapsed,
    text: (run) => duration(elapsed(run)),
  },
];

/** The metrics of a first look, best known names first. */
const favourites = ["test_accuracy", "val_accuracy", "val_loss", "train_loss", "accuracy", "acc", "loss"];
const firstMetrics = 8;
const firstParams = 24;

/** How a key is spread over the runs. */
export interface KeyUse {
  readonly count: number;
  /** Whether its values differ, or some runs lack it. */
  readonly differs: boolean;
}

export function keysOf(runs: readonly Run[], part: "metrics" | "params" | "tags"): ReadonlyMap<string, KeyUse> {
  const keys = new Map<string, { count: number; first: string | number; differs: boolean }>();
  for (const { [part]: record } of runs)
    for (const [key, value] of Object.entries(record)) {
      const entry = keys.get(key);
      if (entry === undefined) keys.set(key, { count: 1, first: value, differs: false });
      else {
        entry.count += 1;
        entry.differs ||= entry.first !== value;
      }
    }
  for (const entry of keys.values()) entry.differs ||= entry.count < runs.length;
  return keys;
}

/** Keys that the reader chose; undefined: those of a first look. */
export interface ChosenKeys {
  readonly metrics: readonly string[] | undefined;
  readonly params: readonly string[] | undefined;
}

interface ColumnsOptions {
  readonly runs: readonly Run[];
  readonly metrics: ReadonlyMap<string, KeyUse>;
  readonly params: ReadonlyMap<string, KeyUse>;
  readonly chosen: ChosenKeys;
  /** Hides params that are the same in all runs, unless they were chosen. */
  readonly onlyDifferent: boolean;
  readonly values: MetricValues;
}

export function columnsOf({ runs, metrics, params, chosen, onlyDifferent, values }: ColumnsOptions): readonly Column[] {
  const isShown = (use: KeyUse | undefined) => use !== undefined && (!onlyDifferent || use.differs || runs.length < 2);
  const metricKeys =
    chosen.metrics?.filter((key) => metrics.has(key)) ??
    [...metrics.keys()]
      .filter((key) => !isSystemMetric(key))
      .sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))
      .slice(0, firstMetrics);
  const paramKeys =
    chosen.params?.filter((key) => params.has(key)) ??
    [...params.keys()]
      .filter((key) => isShown(params.get(key)))
      .sort()
      .slice(0, firstParams);
  return [
    ...fixedColumns,
    ...metricKeys.map(
      (metric): MetricColumn => ({
        id: fieldName("metrics", metric),
        metric,
        title: metric,
        width: 130,
        kind: "number",
        note: values.note,
        value: (run) => values.of(run, metric),
      }),
    ),
    ...paramKeys.map(
      (key): Column => ({
        id: fieldName("params", key),
        title: key,
        width: 140,
        kind: "text",
        note: "param",
        value: ({ params: own }) => own[key],
      }),
    ),
  ];
}

function rank(key: string): number {
  const at = favourites.indexOf(key);
  return at < 0 ? favourites.length : at;
}

export function isMetricColumn(column: Column): column is MetricColumn {
  return "metric" in column;
}

/** The choice once a key is in the table or no longer: keys that these runs lack stay chosen. */
export function withKey(
  chosen: ChosenKeys,
  columns: readonly Column[],
  { part, key, on }: { part: keyof ChosenKeys; key: string; on: boolean },
): ChosenKeys {
  const all = {
    metrics: chosen.metrics ?? columns.filter(isMetricColumn).map(({ metric }) => metric),
    params: chosen.params ?? columns.filter(({ id }) => id.startsWith("params.")).map(({ title }) => title),
  };
  const others = all[part].filter((other) => other !== key);
  return { ...all, [part]: on ? [...others, key] : others };
}

/** The values that stand for metrics. */
export interface MetricValues {
  /** What they are, for the head of the table. */
  readonly note: string;
  of(run: Run, metric: string): number | undefined;
}

export const lastValues: MetricValues = { note: "", of: ({ metrics }, metric) => metrics[metric] };

export function rangeValues(kind: "min" | "max", ranges: ReadonlyMap<string, Range>): MetricValues {
  return { note: valueKinds[kind], of: ({ id }, metric) => ranges.get(rangeKey(id, metric))?.[kind] };
}

export function stepValues(step: number, found: ReadonlyMap<string, number>): MetricValues {
  return { note: `step ${step}`, of: ({ id }, metric) => found.get(rangeKey(id, metric)) };
}
