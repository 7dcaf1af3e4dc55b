import { number } from "./format.js";

/** Loaded before this module, by a tag of the page. */
const { uPlot } = globalThis;

const colours = ["#4063d8", "#d1603d", "#2f9e77", "#9b51e0", "#c99a1b", "#d6336c", "#1098ad", "#7a8b2f"];

export function colourOf(index) {
  if (index < colours.length) return colours[index];
  return `hsl(${(index * 137.5) % 360} 55% 52%)`;
}

/** Exponential moving average, without the pull to zero at the beginning. */
function smooth(values, weight) {
  if (weight <= 0) return values;
  let last = 0;
  let steps = 0;
  return values.map((value) => {
    if (value === null || !Number.isFinite(value)) return value;
    last = last * weight + (1 - weight) * value;
    steps += 1;
    return last / (1 - weight ** steps);
  });
}

const axisTitles = { step: "step", time: "time", relative: "seconds since start" };

function xOf(point, axis, first) {
  if (axis === "step") return point.step;
  return axis === "time" ? point.timestamp / 1000 : (point.timestamp - first) / 1000;
}

/** Lines over one x axis, which need not be the same for all. */
function toData(series, { axis, smoothing }) {
  const tables = series.map(({ points }) => {
    const first = Math.min(...points.slice(0, 1).map(({ timestamp }) => timestamp), Number.POSITIVE_INFINITY);
    const sorted = points.map((point) => [xOf(point, axis, first), point.value]).sort((a, b) => a[0] - b[0]);
    const xs = [];
    const ys = [];
    for (const [x, y] of sorted) {
      if (xs.at(-1) === x) ys[ys.length - 1] = y;
      else {
        xs.push(x);
        ys.push(Number.isFinite(y) ? y : null);
      }
    }
    return [xs, smooth(ys, smoothing)];
  });
  if (tables.length === 0) return [[]];
  return tables.length === 1 ? tables[0] : uPlot.join(tables);
}

/**
 * A chart of curves that fills its place and zooms by dragging (double click: all again).
 * @returns the element and a function that shows other curves or settings
 */
export function chart({ title, series, settings }) {
  const element = document.createElement("figure");
  element.className = "chart";
  const caption = document.createElement("figcaption");
  caption.textContent = title;
  const place = document.createElement("div");
  place.className = "plot";
  element.append(caption, place);
  let plot;
  let shown = "";
  let zoomed = false;
  const draw = (next, options) => {
    const width = place.clientWidth || 360;
    const data = toData(next, options);
    const key = JSON.stringify([next.map(({ name }) => name), options, width]);
    if (plot !== undefined && key === shown) {
      plot.setData(data, !zoomed);
      return;
    }
    shown = key;
    plot?.destroy();
    zoomed = false;
    const css = getComputedStyle(document.documentElement);
    const ink = css.getPropertyValue("--muted").trim();
    const grid = { stroke: css.getPropertyValue("--border").trim(), width: 1 };
    plot = new uPlot(
      {
        width,
        height: 220,
        scales: { x: { time: options.axis === "time" }, y: { distr: options.logY ? 3 : 1 } },
        legend: { show: next.length <= 12 },
        cursor: { drag: { x: true, y: false }, focus: { prox: 24 } },
        focus: { alpha: 0.25 },
        axes: [
          { stroke: ink, grid, ticks: grid, label: axisTitles[options.axis], labelSize: 18, size: 36 },
          {
            stroke: ink,
            grid,
            ticks: grid,
            size: 62,
            values: (_plot, ticks) => ticks.map((tick) => (tick === null ? "" : number(tick))),
          },
        ],
        series: [
          { label: options.axis, value: (_plot, x) => (x === null ? "" : number(x)) },
          ...next.map(({ name, colour }) => ({
            label: name,
            stroke: colour,
            width: 1.75,
            spanGaps: true,
            points: { show: next.length === 1 && next[0].points.length < 40 },
            value: (_plot, y) => number(y),
          })),
        ],
        hooks: {
          setSelect: [
            () => {
              zoomed = true;
            },
          ],
        },
      },
      data,
      place,
    );
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", `${title}: ${next.length} curves`);
  };
  place.addEventListener("dblclick", () => {
    zoomed = false;
  });
  const update = (next = series, options = settings) => {
    series = next;
    settings = options;
    if (element.isConnected) draw(series, settings);
  };
  const observer = new ResizeObserver(() => update());
  observer.observe(place);
  return {
    element,
    update,
    destroy: () => {
      observer.disconnect();
      plot?.destroy();
    },
  };
}

/** What all charts of a view share: axis, logarithm, smoothing. */
export function chartSettings(onchange) {
  const stored = JSON.parse(localStorage.getItem("chart-settings") ?? "{}");
  const settings = { axis: "step", logY: false, smoothing: 0, ...stored };
  const change = (part) => {
    Object.assign(settings, part);
    localStorage.setItem("chart-settings", JSON.stringify(settings));
    onchange({ ...settings });
  };
  return { settings, change };
}
