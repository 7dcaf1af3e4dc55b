import { number } from "../format.ts";
import type { Run } from "../runs/run.ts";
import { type Column, isMetricColumn } from "./columns.ts";

/** A line of the table: a run, or the title of those that follow. */
export type Row = { readonly kind: "run"; readonly run: Run } | { readonly kind: "group"; readonly title: string };

export interface Order {
  /** A column. */
  readonly id: string;
  readonly descending: boolean;
}

/** Sorts by what a column shows; runs without a value come last either way. */
export function sortRuns(runs: readonly Run[], column: Column, { descending }: Order): readonly Run[] {
  const way = descending ? -1 : 1;
  const numberOf = (run: Run) => {
    const value = column.value(run);
    return typeof value === "number" && !Number.isNaN(value) ? value : undefined;
  };
  return runs
    .map((run) => ({ run, value: numberOf(run) }))
    .sort(({ value: a }, { value: b }) => {
      if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined);
      return (a - b) * way;
    })
    .map(({ run }) => run);
}

/** Runs as rows; with a param to group by, those with the same value of it together, in the order of their first. */
export function rowsOf(runs: readonly Run[], group: string, columns: readonly Column[]): readonly Row[] {
  const rowOf = (run: Run): Row => ({ kind: "run", run });
  if (group === "") return runs.map(rowOf);
  const groups = new Map<string, Run[]>();
  for (const run of runs) {
    const value = run.params[group] ?? "–";
    const members = groups.get(value);
    if (members === undefined) groups.set(value, [run]);
    else members.push(run);
  }
  const metric = columns.find(isMetricColumn);
  return [...groups].flatMap(([value, members]) => {
    const values = members.map((run) => metric?.value(run)).filter((one) => one !== undefined && Number.isFinite(one));
    const mean = values.reduce<number>((sum, one) => sum + (one ?? 0), 0) / values.length;
    const summary = metric === undefined || values.length === 0 ? "" : `, mean ${metric.title} ${number(mean)}`;
    return [{ kind: "group", title: `${group} = ${value} (${members.length} runs${summary})` }, ...members.map(rowOf)];
  });
}
