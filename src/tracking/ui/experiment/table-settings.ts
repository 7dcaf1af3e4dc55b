import { link, showInAddress } from "../route.ts";
import { type ChosenKeys, type ValueKind, valueKinds } from "./columns.ts";
import type { Order } from "./rows.ts";

/** What the table of runs shows, and how. It stands in the address, so that a link shows the same. */
export interface TableSettings {
  readonly filter: string;
  readonly order: Order;
  readonly values: ValueKind;
  /** The step of `values` "step". */
  readonly step: number;
  readonly onlyDifferent: boolean;
  /** A param, or nothing. */
  readonly group: string;
  readonly columns: ChosenKeys;
}

export const firstColumns: ChosenKeys = { metrics: undefined, params: undefined };
const firstOrder: Order = { id: "attributes.start_time", descending: true };
const storageKey = (experiment: string) => `columns-${experiment}`;

/** From the address; columns that it does not name are those that were last chosen for the experiment. */
export function readSettings(experiment: string, query: URLSearchParams): TableSettings {
  const [, id = firstOrder.id, direction = "DESC"] = /^(.*) (ASC|DESC)$/.exec(query.get("order") ?? "") ?? [];
  const values = query.get("values") ?? "last";
  const stored = localStorage.getItem(storageKey(experiment));
  return {
    filter: query.get("filter") ?? "",
    order: { id, descending: direction === "DESC" },
    values: values in valueKinds ? (values as ValueKind) : "last",
    step: Math.max(0, Number.parseInt(query.get("step") ?? "0", 10) || 0),
    onlyDifferent: query.get("same") !== "shown",
    group: query.get("group") ?? "",
    columns: readColumns(query.get("columns")) ?? readColumns(stored) ?? firstColumns,
  };
}

function readColumns(text: string | null): ChosenKeys | undefined {
  if (text === null) return undefined;
  try {
    const { metrics, params } = JSON.parse(text);
    const keys = (list: unknown) => (Array.isArray(list) ? list.map(String) : undefined);
    return { metrics: keys(metrics), params: keys(params) };
  } catch {
    return undefined;
  }
}

/** Keeps the settings in the address, and the columns for the next visit. */
export function keepSettings(experiment: string, settings: TableSettings): void {
  const { filter, order, values, step, onlyDifferent, group, columns } = settings;
  const isFirst = order.id === firstOrder.id && order.descending === firstOrder.descending;
  const columnsText = columns === firstColumns ? undefined : JSON.stringify(columns);
  showInAddress(["experiments", experiment], {
    filter,
    order: isFirst ? undefined : `${order.id} ${order.descending ? "DESC" : "ASC"}`,
    values: values === "last" ? undefined : values,
    step: values === "step" ? String(step) : undefined,
    same: onlyDifferent ? undefined : "shown",
    group,
    columns: columnsText,
  });
  if (columnsText === undefined) localStorage.removeItem(storageKey(experiment));
  else localStorage.setItem(storageKey(experiment), columnsText);
}

export function compareLink(runIds: readonly string[]): string {
  return link(["compare"], { runs: runIds.join(",") });
}
