import { call, toRun } from "./api.js";
import { colourOf } from "./chart.js";
import { chartWall } from "./chart-wall.js";
import { empty, h, select, toggle } from "./dom.js";
import { number } from "./format.js";
import { parallelCoordinates, scatter } from "./plots.js";

/** More columns than this are no table to read. */
const maxColumns = 40;

/** Many runs side by side: curves over each other, what differs, how params and metrics go together. */
export async function compareView({ place, ids, signal, report }) {
  if (ids.length === 0) {
    place.append(empty("Nothing to compare", "Choose two or more runs in the table of an experiment, then Compare."));
    return;
  }
  const runs = [];
  for (let start = 0; start < ids.length; start += 20)
    runs.push(
      ...(await Promise.all(
        ids.slice(start, start + 20).map(async (id) => toRun((await call("GET", "runs/get", { run_id: id })).run)),
      )),
    );
  if (signal.aborted) return;
  const coloured = runs.map((run, index) => ({ ...run, colour: colourOf(index) }));
  const metricKeys = keysOf(runs, "metrics").filter((key) => !key.startsWith("system/"));
  const paramKeys = keysOf(runs, "params");
  place.append(h("h1", {}, `${runs.length} runs compared`));
  if (runs.length <= maxColumns)
    place.append(
      h(
        "p",
        {},
        coloured.map((run) =>
          h("span", { class: "badge" }, swatch(run.colour), " ", h("a", { href: `#/runs/${run.id}` }, run.name)),
        ),
      ),
    );
  const wall = chartWall({
    keys: metricKeys,
    curves: coloured,
    signal,
    report,
    live: () => runs.some(({ status }) => status === "RUNNING"),
  });
  place.append(
    h("h2", {}, "Curves"),
    metricKeys.length === 0 ? h("p", { class: "muted" }, "no metrics") : wall.element,
  );

  const numeric = [
    ...metricKeys.map((key) => ({ id: `metrics.${key}`, title: key, of: (run) => run.metrics[key] })),
    ...paramKeys
      .filter(
        (key) =>
          runs.some((run) => run.params[key] !== runs[0].params[key]) &&
          runs.every((run) => run.params[key] === undefined || Number.isFinite(Number(run.params[key]))),
      )
      .map((key) => ({
        id: `params.${key}`,
        title: key,
        of: (run) => (run.params[key] === undefined ? undefined : Number(run.params[key])),
      })),
  ];
  place.append(
    h("h2", {}, "Parallel coordinates"),
    parallelSection(coloured, numeric),
    h("h2", {}, "Scatter"),
    scatterSection(coloured, numeric),
  );
  place.append(
    h("h2", {}, "Differences"),
    differences(coloured.slice(0, maxColumns), { paramKeys, metricKeys, total: runs.length }),
  );
}

function keysOf(runs, part) {
  return [...new Set(runs.flatMap((run) => Object.keys(run[part])))].sort();
}

function swatch(colour) {
  const dot = h("span", { "aria-hidden": "true" }, "●");
  dot.style.color = colour;
  return dot;
}

function parallelSection(runs, numeric) {
  if (numeric.length < 2) return h("p", { class: "muted" }, "needs two numbers that the runs have");
  const params = numeric.filter(({ id }) => id.startsWith("params.")).slice(0, 5);
  const metrics = numeric.filter(({ id }) => id.startsWith("metrics."));
  let chosen = new Set([...params, ...metrics.slice(0, Math.max(2, 7 - params.length))].map(({ id }) => id));
  const picture = h("div");
  const draw = () =>
    picture.replaceChildren(
      parallelCoordinates(
        runs,
        numeric.filter(({ id }) => chosen.has(id)),
      ),
    );
  const boxes = h(
    "details",
    {},
    h("summary", { class: "button" }, "Axes"),
    h(
      "div",
      { class: "bar" },
      h(
        "button",
        {
          type: "button",
          onclick: () => {
            chosen = new Set(numeric.map(({ id }) => id));
            for (const box of boxes.querySelectorAll("input")) box.checked = true;
            draw();
          },
        },
        "All",
      ),
      numeric.map(({ id, title }) =>
        toggle({
          label: title,
          checked: chosen.has(id),
          onchange: (on) => {
            on ? chosen.add(id) : chosen.delete(id);
            draw();
          },
        }),
      ),
    ),
  );
  draw();
  return h("div", {}, boxes, picture);
}

function scatterSection(runs, numeric) {
  if (numeric.length < 2) return h("p", { class: "muted" }, "needs two numbers that the runs have");
  const varies = ({ id, of }) => id.startsWith("metrics.") && runs.some((run) => of(run) !== of(runs[0]));
  const upward = numeric.find((one) => varies(one) && one.id.includes("acc")) ?? numeric.find(varies) ?? numeric[0];
  const state = { x: (numeric.find(({ id }) => id.startsWith("params.")) ?? numeric[1]).id, y: upward.id };
  const picture = h("div");
  const find = (id) => numeric.find((one) => one.id === id);
  const draw = () => picture.replaceChildren(scatter(runs, find(state.x), find(state.y)));
  const options = numeric.map(({ id }) => [id, id]);
  draw();
  return h(
    "div",
    {},
    h(
      "div",
      { class: "bar" },
      select({
        label: "Across",
        value: state.x,
        options,
        onchange: (x) => {
          state.x = x;
          draw();
        },
      }),
      select({
        label: "Upward",
        value: state.y,
        options,
        onchange: (y) => {
          state.y = y;
          draw();
        },
      }),
    ),
    picture,
  );
}

function differences(runs, { paramKeys, metricKeys, total }) {
  const body = h("tbody");
  const draw = (onlyDifferent) => {
    const rows = [
      ...metricKeys.map((key) => ({ key, kind: "metric", values: runs.map((run) => number(run.metrics[key])) })),
      ...paramKeys.map((key) => ({ key, kind: "param", values: runs.map((run) => run.params[key] ?? "") })),
    ].map((row) => ({ ...row, differs: row.values.some((value) => value !== row.values[0]) }));
    body.replaceChildren(
      ...rows
        .filter(({ differs }) => differs || !onlyDifferent)
        .map(({ key, kind, values, differs }) =>
          h(
            "tr",
            { class: differs && !onlyDifferent ? "changed" : undefined },
            h("th", { scope: "row" }, key),
            h("td", { class: "muted" }, kind),
            values.map((value) => h("td", {}, value)),
          ),
        ),
    );
  };
  draw(true);
  return h(
    "div",
    {},
    h(
      "div",
      { class: "bar" },
      toggle({ label: "Only what differs", id: "diff-only", checked: true, onchange: draw }),
      total > runs.length ? h("span", { class: "muted" }, `the first ${runs.length} of ${total} runs`) : null,
    ),
    h(
      "div",
      { class: "scroll" },
      h(
        "table",
        { class: "plain", id: "differences" },
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            h("th", {}, "Key"),
            h("th", {}, ""),
            runs.map((run) => h("th", { scope: "col" }, swatch(run.colour), ` ${run.name}`)),
          ),
        ),
        body,
      ),
    ),
  );
}
