// The dashboard: draws what /dashboard/events sends. The server keeps the history; this page asks for nothing else.
import { bar, byId, element, megabytes, svg } from "./view.js";

const number = (digits, unit) => (value) => `${value.toFixed(digits)}${unit}`;
const percent = number(0, " %");
const rate = (value) => `${value < 10 ? value.toFixed(1) : value.toFixed(0)}/s`;
const seconds = (value) => (value < 1 ? `${(value * 1000).toFixed(value < 0.01 ? 1 : 0)} ms` : `${value.toFixed(2)} s`);
const bytes = (value) => (value < 1024 * 1024 ? `${(value / 1024).toFixed(1)} kB/s` : `${megabytes(value)}/s`);
const share = number(2, "");

/** `max`: a fixed scale; a panel whose figures never come (a GPU, say) is not shown. */
const panels = [
  { title: "Requests", lines: { requests_per_second: "all" }, show: rate },
  { title: "Errors", lines: { error_percent: "4xx and 5xx" }, show: percent },
  {
    title: "Prediction latency",
    lines: { latency_p50_seconds: "p50", latency_p95_seconds: "p95", latency_p99_seconds: "p99" },
    show: seconds,
  },
  { title: "Predictions", lines: { predictions_per_second: "images" }, show: rate },
  { title: "Confidence", lines: { confidence: "confidence" }, show: share, max: 1 },
  { title: "Right in use", lines: { live_accuracy: "by feedback" }, show: share, max: 1 },
  { title: "Queue", lines: { queue_length: "images" }, show: number(0, "") },
  { title: "Batch size", lines: { batch_size: "images a run" }, show: number(1, "") },
  { title: "CPU", lines: { cpu_percent: "all cores" }, show: percent, max: 100 },
  { title: "Memory", lines: { memory_percent: "used" }, show: percent, max: 100 },
  { title: "Disk", lines: { disk_percent: "used" }, show: percent, max: 100 },
  {
    title: "Network",
    lines: { network_receive_bytes_per_second: "in", network_transmit_bytes_per_second: "out" },
    show: bytes,
  },
  { title: "GPU", lines: { gpu_percent: "computing", gpu_memory_percent: "memory" }, show: percent, max: 100 },
];

const view = {
  panels: byId("panels"),
  range: byId("range"),
  connection: byId("connection"),
  alerts: byId("alerts"),
  classes: byId("classes"),
  noPredictions: byId("no-predictions"),
};
const width = 300;
const height = 100;
let columns = [];
let rows = [];
let capacity = 2160;
let model = "";

function createPanel({ title, lines }) {
  const value = element("span", { className: "panel-value" });
  const chart = svg("svg", {
    class: "chart",
    viewBox: `0 0 ${width} ${height}`,
    preserveAspectRatio: "none",
    role: "img",
  });
  const [from, top] = [element("span"), element("span")];
  // One line needs no legend: its figure stands in the head.
  const keys = Object.values(lines).length > 1 ? Object.values(lines) : [];
  const figures = keys.map(() => element("strong"));
  const legend = keys.map((name, i) =>
    element("span", {}, element("span", { className: `key line-${i}` }), `${name} `, figures[i]),
  );
  const id = `panel-${title.toLowerCase().replace(/\W+/g, "-")}`;
  const node = element(
    "section",
    { className: "card" },
    element("div", { className: "panel-head" }, element("h2", { id, textContent: title }), value),
    chart,
    element("p", { className: "scale" }, from, top),
    element("p", { className: "legend" }, ...legend),
  );
  node.setAttribute("aria-labelledby", id);
  return { node, value, chart, from, top, figures };
}

const parts = panels.map(createPanel);
view.panels.replaceChildren(...parts.map(({ node }) => node));

/** A round number above the largest value. */
function niceCeiling(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

/** Gaps in the figures are gaps in the line. */
function path(points, column, { start, end, max }) {
  let pen = "M";
  return points
    .map((row) => {
      const value = row[column];
      if (value === null) {
        pen = "M";
        return "";
      }
      const x = ((row[0] - start) / Math.max(1, end - start)) * width;
      const y = height - 2 - (Math.min(value, max) / max) * (height - 6);
      const step = `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
      pen = "L";
      return step;
    })
    .join("");
}

function drawPanel({ lines, show, max: fixed }, { node, value, chart, from, top, figures }, points, start, end) {
  const indices = Object.keys(lines).map((name) => columns.indexOf(name));
  const known = points.flatMap((row) => indices.map((i) => row[i]).filter((figure) => figure !== null));
  node.hidden = known.length === 0;
  if (node.hidden) return;
  const max = fixed ?? niceCeiling(known.reduce((a, b) => Math.max(a, b), 0));
  const latest = indices.map((i) => points.findLast((row) => row[i] !== null)?.[i]);
  const grid = [0.5, 1].map((part) => {
    const y = height - 2 - part * (height - 6);
    return svg("line", { class: "grid", x1: 0, x2: width, y1: y, y2: y });
  });
  chart.replaceChildren(
    ...grid,
    ...indices.map((column, i) => svg("path", { class: `line-${i}`, d: path(points, column, { start, end, max }) })),
  );
  const texts = latest.map((figure) => (figure === undefined ? "–" : show(figure)));
  value.textContent = figures.length === 0 ? texts[0] : "";
  for (const [i, figure] of figures.entries()) figure.textContent = texts[i];
  const names = Object.values(lines);
  chart.setAttribute("aria-label", names.map((name, i) => `${name}: ${texts[i]}`).join(", "));
  from.textContent = new Date(start).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
  top.textContent = `to ${show(max)}`;
}

function draw() {
  const end = rows.at(-1)?.[0] ?? Date.now();
  const wanted = end - Number(view.range.value) * 60_000;
  const points = rows.filter((row) => row[0] >= wanted);
  const start = Math.max(wanted, points[0]?.[0] ?? wanted);
  for (const [i, panel] of panels.entries()) drawPanel(panel, parts[i], points, start, end);
}

function drawClasses(classes) {
  const entries = Object.entries(classes).sort((a, b) => b[1] - a[1]);
  const most = entries[0]?.[1] ?? 0;
  view.noPredictions.hidden = most > 0;
  view.classes.replaceChildren(
    ...entries
      .filter(([, count]) => count > 0)
      .slice(0, 20)
      .map(([name, count]) =>
        element(
          "tr",
          {},
          element("th", { scope: "row", textContent: name }),
          element("td", {}, bar(count / most), element("span", { textContent: count.toLocaleString("en") })),
        ),
      ),
  );
}

function drawAlerts(alerts) {
  if (alerts === null) {
    view.alerts.replaceChildren(element("li", { textContent: "Alerting is not connected." }));
    return;
  }
  const items = alerts.map(({ name, severity, summary, since }) =>
    element(
      "li",
      {},
      element("span", { className: `is-${severity}`, textContent: `${name} (${severity})` }),
      ` ${summary}, since ${new Date(since).toLocaleTimeString()}`,
    ),
  );
  view.alerts.replaceChildren(...(items.length > 0 ? items : [element("li", { textContent: "None." })]));
}

const source = new EventSource("/dashboard/events");
source.addEventListener("history", ({ data }) => {
  const history = JSON.parse(data);
  ({ columns, model } = history);
  rows = history.points;
  capacity = Math.max(rows.length, (3 * 3_600_000) / history.interval_ms);
  drawClasses(history.classes);
  draw();
});
source.addEventListener("point", ({ data }) => {
  const { row, classes } = JSON.parse(data);
  rows.push(row);
  if (rows.length > capacity) rows.shift();
  view.connection.textContent = `${model}, live`;
  drawClasses(classes);
  // A page that nobody looks at draws when it is looked at again.
  if (!document.hidden) draw();
});
source.addEventListener("alerts", ({ data }) => drawAlerts(JSON.parse(data)));
source.addEventListener("open", () => {
  view.connection.classList.remove("is-lost");
  view.connection.textContent = "Connected; the first figures come in a few seconds.";
});
source.addEventListener("error", () => {
  view.connection.classList.add("is-lost");
  view.connection.textContent = "The connection is lost; trying again…";
});
view.range.addEventListener("change", draw);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) draw();
});
