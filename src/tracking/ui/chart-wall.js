import { histories } from "./api.js";
import { chart, chartSettings } from "./chart.js";
import { h, select, toggle } from "./dom.js";

/**
 * Charts of metrics of one or many runs, drawn when they come into sight and kept up to date.
 * @param curves runs with name and colour
 */
export function chartWall({ keys, curves, signal, report, live }) {
  const charts = new Map();
  const element = h("div");
  const wall = h("div", { class: "charts" });
  const apply = (settings) => {
    for (const entry of charts.values()) entry.chart.update(undefined, settings);
  };
  const { settings, change } = chartSettings(apply);
  const slider = h("input", {
    type: "range",
    min: "0",
    max: "0.99",
    step: "0.01",
    value: String(settings.smoothing),
    "aria-label": "Smoothing",
    oninput: (event) => change({ smoothing: Number(event.target.value) }),
  });
  element.append(
    h(
      "div",
      { class: "bar" },
      select({
        label: "Across",
        value: settings.axis,
        options: [
          ["step", "step"],
          ["time", "time"],
          ["relative", "time since start"],
        ],
        onchange: (axis) => change({ axis }),
      }),
      h("label", { class: "field" }, "Smoothing", slider),
      toggle({ label: "Logarithmic", checked: settings.logY, onchange: (logY) => change({ logY }) }),
      h("span", { class: "muted" }, "drag to zoom, double-click to see all"),
    ),
    wall,
  );
  const fill = async (key) => {
    const entry = charts.get(key);
    try {
      const found = await histories(
        curves.map(({ id }) => id),
        key,
        curves.length > 50 ? 200 : 1000,
      );
      if (signal.aborted) return;
      entry.chart.update(
        curves
          .map(({ id, name, colour }) => ({ name, colour, points: found.get(id) ?? [] }))
          .filter(({ points }) => points.length > 0),
      );
    } catch (error) {
      if (!signal.aborted) report(error);
    }
  };
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const entry = [...charts.values()].find((one) => one.chart.element === target);
      if (entry === undefined) continue;
      entry.visible = isIntersecting;
      if (isIntersecting && !entry.filled) {
        entry.filled = true;
        void fill(entry.key);
      }
    }
  });
  const add = (key) => {
    if (charts.has(key)) return;
    const made = chart({ title: key, series: [], settings });
    charts.set(key, { key, chart: made, filled: false, visible: false });
    wall.append(made.element);
    observer.observe(made.element);
  };
  for (const key of keys) add(key);
  const timer = setInterval(() => {
    if (document.hidden || !live()) return;
    for (const entry of charts.values()) if (entry.visible) void fill(entry.key);
  }, 3000);
  signal.addEventListener("abort", () => {
    clearInterval(timer);
    observer.disconnect();
    for (const entry of charts.values()) entry.chart.destroy();
  });
  return { element, add };
}
