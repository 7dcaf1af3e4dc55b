import { h } from "./dom.js";
import { number } from "./format.js";

const width = 1000;
const height = 300;

function rangeOf(values) {
  const finite = values.filter(Number.isFinite);
  const low = Math.min(...finite);
  const high = Math.max(...finite);
  return low < high ? [low, high] : [low - 0.5, high + 0.5];
}

/** One line a run through all axes; `label` says what stands at an end. Runs without a value leave the line open there. */
export function parallelCoordinates(runs, axes) {
  const svg = h("svg", {
    class: "parallel",
    viewBox: `0 0 ${width} ${height + 40}`,
    role: "img",
    "aria-label": `Parallel coordinates of ${runs.length} runs`,
  });
  const at = (index) => 60 + (index * (width - 120)) / Math.max(axes.length - 1, 1);
  const scales = axes.map((axis) => rangeOf(runs.map(axis.of)));
  const y = (index, value) =>
    30 + (1 - (value - scales[index][0]) / (scales[index][1] - scales[index][0])) * (height - 40);
  const lines = h("g");
  for (const run of runs) {
    let path = "";
    let open = false;
    axes.forEach((axis, index) => {
      const value = axis.of(run);
      if (!Number.isFinite(value)) {
        open = false;
        return;
      }
      path += `${open ? "L" : "M"}${at(index).toFixed(1)} ${y(index, value).toFixed(1)}`;
      open = true;
    });
    const line = h("path", { d: path, stroke: run.colour });
    line.append(titled(run.name));
    lines.append(line);
  }
  svg.append(lines);
  axes.forEach((axis, index) => {
    const x = at(index);
    const { label = number } = axis;
    svg.append(
      h("line", { x1: x, x2: x, y1: 30, y2: height - 10 }),
      h("text", { x, y: height + 6, "text-anchor": "middle" }, label(scales[index][0])),
      h("text", { x, y: 24, "text-anchor": "middle" }, label(scales[index][1])),
      h("text", { x, y: index % 2 === 0 ? 10 : height + 24, "text-anchor": "middle" }, axis.title),
    );
  });
  return svg;
}

/** A point a run. */
export function scatter(runs, across, upward) {
  const svg = h("svg", {
    class: "scatter",
    viewBox: `0 0 ${width} ${height + 40}`,
    role: "img",
    "aria-label": `${upward.id} over ${across.id}`,
  });
  const xs = rangeOf(runs.map(across.of));
  const ys = rangeOf(runs.map(upward.of));
  const x = (value) => 80 + ((value - xs[0]) / (xs[1] - xs[0])) * (width - 110);
  const y = (value) => 14 + (1 - (value - ys[0]) / (ys[1] - ys[0])) * (height - 30);
  for (let i = 0; i <= 4; i++) {
    const across4 = xs[0] + ((xs[1] - xs[0]) * i) / 4;
    const upward4 = ys[0] + ((ys[1] - ys[0]) * i) / 4;
    svg.append(
      h("line", { x1: 80, x2: width - 30, y1: y(upward4), y2: y(upward4) }),
      h("text", { x: 72, y: y(upward4) + 4, "text-anchor": "end" }, number(upward4)),
      h("text", { x: x(across4), y: height + 4, "text-anchor": "middle" }, number(across4)),
    );
  }
  svg.append(h("text", { x: width / 2, y: height + 26, "text-anchor": "middle" }, across.title));
  for (const run of runs) {
    const [a, b] = [across.of(run), upward.of(run)];
    if (!Number.isFinite(a) || !Number.isFinite(b)) continue;
    const dot = h("circle", { cx: x(a), cy: y(b), r: 5, fill: run.colour, "fill-opacity": 0.8 });
    dot.append(titled(`${run.name}: ${across.title} ${number(a)}, ${upward.title} ${number(b)}`));
    svg.append(dot);
  }
  return svg;
}

/** A point a trial, in the order of their numbers, and the line of the best value up to each. */
export function bestSoFar(trials, { direction, metric }) {
  const svg = h("svg", {
    class: "scatter",
    viewBox: `0 0 ${width} ${height + 40}`,
    role: "img",
    "aria-label": `${metric} of ${trials.length} trials and the best so far`,
  });
  const last = Math.max(1, trials.at(-1).number);
  const ys = rangeOf(trials.map(({ value }) => value));
  const x = (of) => 80 + (of / last) * (width - 110);
  const y = (value) => 14 + (1 - (value - ys[0]) / (ys[1] - ys[0])) * (height - 30);
  for (let i = 0; i <= 4; i++) {
    const value = ys[0] + ((ys[1] - ys[0]) * i) / 4;
    svg.append(
      h("line", { x1: 80, x2: width - 30, y1: y(value), y2: y(value) }),
      h("text", { x: 72, y: y(value) + 4, "text-anchor": "end" }, number(value)),
    );
  }
  svg.append(h("text", { x: width / 2, y: height + 26, "text-anchor": "middle" }, "trial"));
  let best;
  let path = "";
  for (const { number: of, value } of trials) {
    const before = best;
    if (best === undefined || (direction === "maximize" ? value > best : value < best)) best = value;
    path += `${path === "" ? "M" : `L${x(of).toFixed(1)} ${y(before).toFixed(1)}L`}${x(of).toFixed(1)} ${y(best).toFixed(1)}`;
  }
  svg.append(h("path", { d: path, class: "best" }));
  for (const trial of trials) {
    const dot = h("circle", { cx: x(trial.number), cy: y(trial.value), r: 5, fill: trial.colour, "fill-opacity": 0.8 });
    dot.append(titled(trial.name));
    svg.append(dot);
  }
  return svg;
}

function titled(text) {
  const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
  title.textContent = text;
  return title;
}
