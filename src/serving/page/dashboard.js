// The dashboard: draws what /dashboard/events sends. The server keeps the history; this page asks for nothing else.
import { bar, byId, element } from "./view.js";

/** Figures as the head of a panel has them; `exact` gives the round numbers of an axis as they are. */
const number = (digits, unit, scale = 1) => ({
  show: (value) => `${(value * scale).toFixed(digits(value))}${unit}`,
  exact: (value) => (value === 0 ? "0" : `${Number((value * scale).toPrecision(6))}${unit}`),
});
const orElse = (small, isSmall, large) => ({
  show: (value) => (isSmall(value) ? small : large).show(value),
  exact: (value) => (isSmall(value) ? small : large).exact(value),
});
const oneBelowTen = (value) => (value > 0 && value < 10 ? 1 : 0);
const percent = number(oneBelowTen, " %");
const rate = number(oneBelowTen, "/s");
const count = number(() => 0, "");
const mean = number(() => 1, "");
const share = number(() => 2, "");
const seconds = orElse(
  number((value) => (value < 0.01 ? 1 : 0), " ms", 1000),
  (value) => value < 1,
  number(() => 2, " s"),
);
const bytes = orElse(
  number(() => 1, " kB/s", 1 / 1000),
  (value) => value < 1_000_000,
  number(() => 1, " MB/s", 1 / 1_000_000),
);

/** `max`: a fixed scale, `least`: what it shows at least; a panel whose figures never come (a GPU, say) is not shown. */
const panels = [
  { title: "Requests", lines: { requests_per_second: "all" }, unit: rate },
  { title: "Errors", lines: { error_percent: "4xx and 5xx" }, unit: percent, least: 1 },
  {
    title: "Prediction latency",
    lines: { latency_p50_seconds: "p50", latency_p95_seconds: "p95", latency_p99_seconds: "p99" },
    unit: seconds,
  },
  { title: "Predictions", lines: { predictions_per_second: "images" }, unit: rate },
  { title: "Confidence", lines: { confidence: "confidence" }, unit: share, max: 1 },
  { title: "Right in use", lines: { live_accuracy: "by feedback" }, unit: share, max: 1 },
  { title: "Queue", lines: { queue_length: "images" }, unit: count, least: 1 },
  { title: "Batch size", lines: { batch_size: "images a run" }, unit: mean },
  { title: "CPU", lines: { cpu_percent: "all cores" }, unit: percent, max: 100 },
  { title: "Memory", lines: { memory_percent: "used" }, unit: percent, max: 100 },
  { title: "Disk", lines: { disk_percent: "used" }, unit: percent, max: 100 },
  {
    title: "Network",
    lines: { network_receive_bytes_per_second: "in", network_transmit_bytes_per_second: "out" },
    unit: bytes,
  },
  {
    title: "Disk traffic",
    lines: { disk_read_bytes_per_second: "read", disk_written_bytes_per_second: "written" },
    unit: bytes,
  },
  { title: "GPU", lines: { gpu_percent: "computing", gpu_memory_percent: "memory" }, unit: percent, max: 100 },
  {
    title: "Training: epochs",
    lines: { training_epoch: "done", training_epochs_planned: "planned" },
    unit: count,
  },
  { title: "Training: loss", lines: { training_loss: "train", validation_loss: "validation" }, unit: share },
  {
    title: "Training: accuracy",
    lines: { training_accuracy: "train", validation_accuracy: "validation" },
    unit: share,
    max: 1,
  },
  { title: "Training: images", lines: { training_images_per_second: "trained on" }, unit: rate },
];

const lineColours = ["--accent", "--second", "--third"];

const view = {
  panels: byId("panels"),
  range: byId("range"),
  connection: byId("connection"),
  alerts: byId("alerts"),
  classes: byId("classes"),
  noPredictions: byId("no-predictions"),
};
let columns = [];
let rows = [];
let capacity = 4320;
let model = "";

function createPanel({ title, lines }) {
  const value = element("span", { className: "panel-value" });
  const chart = element("div", { className: "chart" });
  chart.setAttribute("role", "img");
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
    element("p", { className: "legend" }, ...legend),
  );
  node.setAttribute("aria-labelledby", id);
  return { node, value, chart, figures };
}

const parts = panels.map(createPanel);
view.panels.replaceChildren(...parts.map(({ node }) => node));

/** All panels show one moment when the pointer is on one of them. */
const cursor = { sync: { key: "dashboard" }, drag: { x: false, y: false }, points: { size: 6 } };

/** Seconds between two marks of the time axis. */
const timeSteps = [5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200];

/** The time of day, with seconds where they matter. */
function clockTexts(_plot, ticks, _axis, _space, increment) {
  const format = new Intl.DateTimeFormat([], {
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
    ...(increment < 60 ? { second: "2-digit" } : {}),
  });
  return ticks.map((tick) => format.format(tick * 1000));
}

function createPlot({ lines, unit, max, least = Number.MIN_VALUE }, chart) {
  const css = getComputedStyle(document.documentElement);
  const colour = (name) => css.getPropertyValue(name).trim();
  const grid = { stroke: colour("--border"), width: 1 };
  const axis = { stroke: colour("--muted"), grid, ticks: { show: false } };
  const format = (_plot, ticks) => ticks.map((tick) => (tick === null ? "" : unit.exact(tick)));
  return new globalThis.uPlot(
    {
      width: chart.clientWidth || 300,
      height: 140,
      cursor,
      legend: { show: false },
      scales: { y: { range: (_plot, _low, high) => [0, max ?? Math.max(high * 1.05, least)] } },
      axes: [
        { ...axis, size: 26, space: 62, incrs: timeSteps, values: clockTexts },
        { ...axis, size: 66, values: format },
      ],
      series: [
        {},
        ...Object.values(lines).map((label, i) => ({
          label,
          stroke: colour(lineColours[i]),
          width: 2,
          points: { show: false },
        })),
      ],
    },
    [[]],
    chart,
  );
}

function drawPanel(panel, part, points) {
  const { lines, unit } = panel;
  const { node, value, chart, figures } = part;
  const indices = Object.keys(lines).map((name) => columns.indexOf(name));
  node.hidden = !points.some((row) => indices.some((i) => row[i] !== null));
  if (node.hidden) return;
  part.plot ??= createPlot(panel, chart);
  const data = [points.map((row) => row[0] / 1000), ...indices.map((i) => points.map((row) => row[i]))];
  const width = chart.clientWidth;
  if (width !== part.plot.width) part.plot.setSize({ width, height: 140 });
  part.plot.setData(data);
  const latest = indices.map((i) => points.findLast((row) => row[i] !== null)?.[i]);
  const texts = latest.map((figure) => (figure === undefined ? "–" : unit.show(figure)));
  value.textContent = figures.length === 0 ? texts[0] : "";
  for (const [i, figure] of figures.entries()) figure.textContent = texts[i];
  const names = Object.values(lines);
  chart.setAttribute("aria-label", names.map((name, i) => `${name}: ${texts[i]}`).join(", "));
}

function draw() {
  const end = rows.at(-1)?.[0] ?? Date.now();
  const points = rows.filter((row) => row[0] >= end - Number(view.range.value) * 60_000);
  for (const [i, panel] of panels.entries()) drawPanel(panel, parts[i], points);
}

/** Charts take their colours when they are made. */
function drawAnew() {
  for (const part of parts) {
    part.plot?.destroy();
    part.plot = undefined;
  }
  draw();
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
  capacity = Math.max(rows.length, (6 * 3_600_000) / history.interval_ms);
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
window.addEventListener("resize", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAnew);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) draw();
});
