import { h } from "./dom.js";
import { duration, number, time } from "./format.js";

const rowHeight = 32;
const headHeight = 44;
const overscan = 8;

/** Columns that every run has. */
export const fixedColumns = [
  { id: "attributes.run_name", title: "Run", width: 210, value: (run) => run.name },
  { id: "attributes.status", title: "Status", width: 110, value: (run) => run.status },
  { id: "attributes.start_time", title: "Started", width: 155, value: (run) => run.start, text: time },
  {
    id: "duration",
    title: "Duration",
    width: 90,
    value: (run) => (run.end ?? Date.now()) - run.start,
    text: duration,
    kind: "number",
  },
];

/**
 * A table that holds any number of rows: only those in sight are elements. `onSort(column)`, `onSelect(ids)`.
 */
export function runTable({ onSort, onSelect }) {
  let rows = [];
  let columns = [];
  let order = { id: "", descending: true };
  const selected = new Set();
  const drawn = new Map();
  let last = -1;
  const element = h("div", { class: "grid", role: "table", "aria-label": "Runs", tabindex: "0" });
  const head = h("div", { class: "grid-row head", role: "row" });
  const spacer = h("div", { "aria-hidden": "true" });
  element.append(head, spacer);

  const runs = () => rows.filter((row) => row.run !== undefined).map((row) => row.run);
  const widthOf = () => columns.reduce((sum, { width }) => sum + width, 40);

  const drawHead = () => {
    const shown = runs();
    const all = shown.length > 0 && shown.every((run) => selected.has(run.id));
    const box = h("input", {
      type: "checkbox",
      checked: all,
      "aria-label": "Select all runs",
      onchange: (event) => {
        for (const run of shown)
          if (event.target.checked) selected.add(run.id);
          else selected.delete(run.id);
        changed();
      },
    });
    const cells = columns.map((column) => {
      const sorted = order.id === column.id ? (order.descending ? "descending" : "ascending") : undefined;
      const arrow = sorted === undefined ? "" : sorted === "descending" ? " ↓" : " ↑";
      return cell(
        column,
        {
          role: "columnheader",
          "aria-sort": sorted,
          title: column.title,
        },
        h(
          "button",
          { type: "button", onclick: () => onSort(column) },
          `${column.title}${arrow}`,
          column.note ? h("small", {}, column.note) : null,
        ),
      );
    });
    head.replaceChildren(
      h("div", { class: "cell sticky" }, h("div", { class: "cell check" }, box), cells[0]),
      ...cells.slice(1),
    );
    head.querySelector(".check").style.width = "40px";
    head.firstChild.style.padding = "0";
    head.style.width = `${widthOf()}px`;
  };

  const cell = (column, attributes, ...children) => {
    const made = h(
      "div",
      { class: `cell${column.kind === "number" ? " number" : ""}`, role: "cell", ...attributes },
      ...children,
    );
    made.style.width = `${column.width}px`;
    return made;
  };

  const drawRow = (index) => {
    const row = rows[index];
    const line = h("div", { class: "grid-row", role: "row", "aria-rowindex": index + 2 });
    line.style.top = `${headHeight + index * rowHeight}px`;
    line.style.width = `${widthOf()}px`;
    if (row.run === undefined) {
      line.classList.add("group");
      line.textContent = row.title;
      return line;
    }
    const { run } = row;
    if (selected.has(run.id)) line.classList.add("selected");
    const box = h("input", {
      type: "checkbox",
      checked: selected.has(run.id),
      "aria-label": `Select ${run.name}`,
      onclick: (event) => {
        const on = event.target.checked;
        const from = event.shiftKey && last >= 0 ? Math.min(last, index) : index;
        const to = event.shiftKey && last >= 0 ? Math.max(last, index) : index;
        for (const { run: other } of rows.slice(from, to + 1))
          if (other !== undefined) on ? selected.add(other.id) : selected.delete(other.id);
        last = index;
        changed();
      },
    });
    const check = h("div", { class: "cell check" }, box);
    check.style.width = "40px";
    const cells = columns.map((column, i) => {
      const value = column.value(run);
      if (i === 0) return cell(column, {}, h("a", { href: `#/runs/${run.id}` }, value));
      if (column.id === "attributes.status")
        return cell(column, {}, h("span", { class: `status ${value}` }, value.toLowerCase()));
      const text = column.text ? column.text(value) : column.kind === "number" ? number(value) : (value ?? "");
      return cell(column, { title: text.length > 18 ? text : undefined }, text);
    });
    line.append(h("div", { class: "cell sticky", role: "none" }, check, cells[0]), ...cells.slice(1));
    line.firstChild.style.padding = "0";
    return line;
  };

  const draw = () => {
    const first = Math.max(0, Math.floor((element.scrollTop - headHeight) / rowHeight) - overscan);
    const end = Math.min(rows.length, Math.ceil((element.scrollTop + element.clientHeight) / rowHeight) + overscan);
    for (const [index, line] of drawn)
      if (index < first || index >= end) {
        line.remove();
        drawn.delete(index);
      }
    for (let index = first; index < end; index++) {
      if (drawn.has(index)) continue;
      const line = drawRow(index);
      drawn.set(index, line);
      element.append(line);
    }
  };

  const redraw = () => {
    for (const line of drawn.values()) line.remove();
    drawn.clear();
    spacer.style.height = `${rows.length * rowHeight}px`;
    spacer.style.width = `${widthOf()}px`;
    element.setAttribute("aria-rowcount", rows.length + 1);
    drawHead();
    draw();
  };

  const changed = () => {
    redraw();
    onSelect(
      runs()
        .filter((run) => selected.has(run.id))
        .map((run) => run.id),
    );
  };

  let waiting = false;
  element.addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
    });
  });
  new ResizeObserver(draw).observe(element);

  return {
    element,
    show(next) {
      rows = next.rows;
      columns = next.columns;
      order = next.order;
      redraw();
    },
  };
}
