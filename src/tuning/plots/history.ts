import type { Study } from "../study.ts";
import { bestValue, compareValues } from "../trial.ts";
import { drawing, element, type Frame, figure, place, rangeOf, short, text, titled, verticalAxis } from "./svg.ts";

const size = { width: 720, height: 360 };
const frame: Frame = { left: 64, top: 64, width: 632, height: 248 };

/** Each trial's value, and the best one so far. */
export function historyPlot(study: Pick<Study, "trials" | "direction" | "metric" | "studyId">): string {
  const { trials, direction, metric, studyId } = study;
  const points = trials.flatMap((trial) => {
    const value = bestValue(trial, direction);
    return value === undefined ? [] : [{ trial, value }];
  });
  const title = `${studyId}: ${metric} of ${trials.length} trials`;
  if (points.length === 0) return drawing(size, title, [text(frame.left, frame.top + 24, "no values yet")]);
  const vertical = rangeOf(points.map(({ value }) => value));
  const horizontal = { min: -0.5, max: Math.max(trials.length, 2) - 0.5 };
  const x = (number: number): number => place(horizontal, number, frame.left, frame.left + frame.width);
  const y = (value: number): number => place(vertical, value, frame.top + frame.height, frame.top);
  let best: number | undefined;
  let path = "";
  for (const { trial, value } of points) {
    const better = best === undefined || compareValues(direction, value, best) < 0 ? value : best;
    path +=
      best === undefined
        ? `M${short(x(trial.number))} ${short(y(better))}`
        : `H${short(x(trial.number))}V${short(y(better))}`;
    best = better;
  }
  path += `H${short(frame.left + frame.width)}`;
  const every = Math.max(1, Math.ceil(trials.length / 20));
  return drawing(size, title, [
    verticalAxis(frame, vertical, metric),
    ...trials
      .filter(({ number }) => number % every === 0)
      .map(({ number }) => text(x(number), frame.top + frame.height + 20, String(number), "middle")),
    text(frame.left + frame.width, size.height - 12, "trial; grey: stopped early; line: best so far", "end"),
    element("path", { class: "curve", d: path }),
    ...points.map(({ trial, value }) =>
      titled(
        element("circle", {
          class: trial.status === "complete" ? "mark" : "poor",
          cx: x(trial.number),
          cy: y(value),
          r: 4,
        }),
        `trial ${trial.number}: ${figure(value)} (${trial.status})`,
      ),
    ),
  ]);
}
