import { axisOf, toAxis, toUnit } from "../axis.ts";
import type { Domain } from "../space.ts";
import type { Study } from "../study.ts";
import { bestValue } from "../trial.ts";
import { lastName } from "./parallel-coordinates.ts";
import { drawing, element, type Frame, figure, place, rangeOf, text, ticks, titled, verticalAxis } from "./svg.ts";

const cell = { width: 320, height: 240 };
const columns = 3;

/** The value of each trial over each of its parameters. */
export function slicesPlot(study: Pick<Study, "trials" | "direction" | "metric" | "studyId" | "space">): string {
  const { trials, direction, metric, studyId, space } = study;
  const names = Object.keys(space.dimensions);
  const rows = Math.ceil(names.length / columns);
  const size = { width: Math.max(720, Math.min(columns, names.length) * cell.width), height: 40 + rows * cell.height };
  const points = trials.flatMap((trial) => {
    const value = bestValue(trial, direction);
    return value === undefined ? [] : [{ trial, value }];
  });
  const title = `${studyId}: ${metric} over each parameter`;
  if (points.length === 0) return drawing(size, title, [text(16, 56, "no values yet")]);
  const vertical = rangeOf(points.map(({ value }) => value));
  return drawing(
    size,
    title,
    names.map((name, index) => {
      const frame: Frame = {
        left: (index % columns) * cell.width + 60,
        top: 40 + Math.floor(index / columns) * cell.height + 30,
        width: cell.width - 80,
        height: cell.height - 80,
      };
      const { domain } = space.dimensions[name]!;
      const x = (share: number): number => frame.left + share * frame.width;
      const marks = points.flatMap(({ trial, value }) => {
        const chosen = trial.params[name];
        if (chosen === undefined) return [];
        const y = place(vertical, value, frame.top + frame.height, frame.top);
        const mark = element("circle", {
          class: trial.status === "complete" ? "mark" : "poor",
          cx: x(inset(toUnit(domain, chosen))),
          cy: y,
          r: 3.5,
        });
        return [titled(mark, `trial ${trial.number}: ${chosen} gave ${figure(value)}`)];
      });
      const labels = labelsOf(domain).map(({ share, label }) =>
        text(x(inset(share)), frame.top + frame.height + 16, label, "middle"),
      );
      return [verticalAxis(frame, vertical, lastName(name)), ...labels, ...marks].join("\n");
    }),
  );
}

/** Room at both ends, so that marks at the ends are whole. */
function inset(share: number): number {
  return 0.03 + 0.94 * share;
}

function labelsOf(domain: Domain): readonly { readonly share: number; readonly label: string }[] {
  if (domain.kind === "choice")
    return domain.values.map((value) => ({ share: toUnit(domain, value), label: String(value).slice(0, 12) }));
  const { min, max, scale } = domain;
  if (min === max) return [{ share: 0.5, label: figure(min) }];
  if (scale === "linear")
    return ticks({ min, max }, 4).map((tick) => ({ share: toUnit(domain, tick), label: figure(tick) }));
  const { low, high } = axisOf(domain);
  const middle = Math.exp(0.5 * (toAxis(domain, min) + toAxis(domain, max)));
  return [min, middle, max].map((value) => ({
    share: (Math.log(value) - low) / (high - low),
    label: Number(value.toPrecision(2)).toString(),
  }));
}
