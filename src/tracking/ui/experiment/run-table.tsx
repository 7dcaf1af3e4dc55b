// biome-ignore-all lint/a11y/useFocusableInteractive: what is in the rows is focused
// biome-ignore-all lint/a11y/useSemanticElements: rows that are placed one by one are no rows of a <table>
import type { VNode } from "preact";
import { useRef } from "preact/hooks";
import { number } from "../format.ts";
import { link } from "../route.ts";
import type { Run } from "../runs/run.ts";
import type { Column } from "./columns.ts";
import type { Order, Row } from "./rows.ts";
import { useVirtualRows } from "./virtual-rows.ts";

const rowHeight = 32;
const headHeight = 44;
const checkWidth = 40;
/** Longer text is cut in its cell and can be read whole as a tip. */
const cutLength = 18;

interface RunTableProps {
  readonly rows: readonly Row[];
  readonly columns: readonly Column[];
  readonly order: Order;
  readonly selected: ReadonlySet<string>;
  onSort(column: Column): void;
  onSelect(ids: ReadonlySet<string>): void;
}

/** A table that holds any number of rows: only those in sight are elements. */
export function RunTable({ rows, columns, order, selected, onSort, onSelect }: RunTableProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const lastClicked = useRef(-1);
  const virtual = useVirtualRows({ count: rows.length, rowHeight, headHeight, scroller });
  const width = columns.reduce((sum, column) => sum + column.width, checkWidth);
  const ids = rows.flatMap((row) => (row.kind === "run" ? [row.run.id] : []));
  const select = (chosen: readonly string[], on: boolean) => {
    const next = new Set(selected);
    for (const id of chosen) on ? next.add(id) : next.delete(id);
    onSelect(next);
  };
  /** With the shift key all rows from the last one on. */
  const selectRow = (index: number, { on, through }: { on: boolean; through: boolean }) => {
    const other = through && lastClicked.current >= 0 ? lastClicked.current : index;
    const span = rows.slice(Math.min(other, index), Math.max(other, index) + 1);
    lastClicked.current = index;
    select(
      span.flatMap((row) => (row.kind === "run" ? [row.run.id] : [])),
      on,
    );
  };
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what is scrolled has to be reached by keyboard
    <div class="grid" role="table" aria-label="Runs" aria-rowcount={rows.length + 1} tabIndex={0} ref={scroller}>
      <div class="grid-row head" role="row" style={{ width: `${width}px` }}>
        <Cells
          check={
            <input
              type="checkbox"
              aria-label="Select all runs"
              checked={ids.length > 0 && ids.every((id) => selected.has(id))}
              onChange={(event) => select(ids, event.currentTarget.checked)}
            />
          }
          cells={columns.map((column) => <HeadCell key={column.id} column={column} order={order} onSort={onSort} />)}
        />
      </div>
      <div aria-hidden="true" style={{ height: `${virtual.height - headHeight}px`, width: `${width}px` }} />
      {virtual.rows.map(({ index, start }) => {
        const row = rows[index];
        if (row === undefined) return null;
        const place = { top: `${start}px`, width: `${width}px` };
        if (row.kind === "group")
          return (
            <div class="grid-row group" role="row" key={row.title} aria-rowindex={index + 2} style={place}>
              <div role="cell">{row.title}</div>
            </div>
          );
        const isSelected = selected.has(row.run.id);
        return (
          <div
            class={isSelected ? "grid-row selected" : "grid-row"}
            role="row"
            key={row.run.id}
            aria-rowindex={index + 2}
            style={place}
          >
            <Cells
              check={
                <input
                  type="checkbox"
                  aria-label={`Select ${row.run.name}`}
                  checked={isSelected}
                  onClick={({ currentTarget, shiftKey }) =>
                    selectRow(index, { on: currentTarget.checked, through: shiftKey })
                  }
                />
              }
              cells={columns.map((column, at) => (
                <RunCell key={column.id} run={row.run} column={column} isName={at === 0} />
              ))}
            />
          </div>
        );
      })}
    </div>
  );
}

/** The box and the name stay in sight when the row is moved sideways. */
function Cells({ check, cells: [name, ...others] }: { check: VNode; cells: readonly VNode[] }) {
  return (
    <>
      <div class="cell sticky" role="presentation">
        <div class="cell check" role="cell">
          {check}
        </div>
        {name}
      </div>
      {others}
    </>
  );
}

function HeadCell({ column, order, onSort }: { column: Column; order: Order } & Pick<RunTableProps, "onSort">) {
  const sorted = order.id === column.id ? (order.descending ? "descending" : "ascending") : undefined;
  const arrow = { descending: " ↓", ascending: " ↑", none: "" }[sorted ?? "none"];
  return (
    <div
      class={classOf(column)}
      role="columnheader"
      aria-sort={sorted}
      title={column.title}
      style={{ width: `${column.width}px` }}
    >
      <button type="button" onClick={() => onSort(column)}>
        {column.title}
        {arrow}
        {column.note ? <small>{column.note}</small> : null}
      </button>
    </div>
  );
}

function RunCell({ run, column, isName }: { run: Run; column: Column; isName: boolean }) {
  const value = column.value(run);
  const text = column.text?.(run) ?? number(value);
  return (
    <div
      class={classOf(column)}
      role="cell"
      title={text.length > cutLength ? text : undefined}
      style={{ width: `${column.width}px` }}
    >
      {isName ? (
        <a href={link(["runs", run.id])}>{text}</a>
      ) : column.id === "attributes.status" ? (
        <span class={`status ${text}`}>{text.toLowerCase()}</span>
      ) : (
        text
      )}
    </div>
  );
}

function classOf({ kind }: Column): string {
  return kind === "number" ? "cell number" : "cell";
}
