import { toUnit } from "../axis.ts";
import type { Domain, ParameterValue } from "../space.ts";
import type { Study } from "../study.ts";
import { bestValue } from "../trial.ts";
import { drawing, element, figure, place, rangeOf, shade, short, text, titled } from "./svg.ts";

const top = 72;
const height = 260;

/** A line for each trial through its parameters to its value; the better, the darker. */
export function parallelCoordinatesPlot(
  study: Pick<Study, "trials" | "direction" | "metric" | "studyId" | "space">,
): string {
  const { trials, direction, metric, studyId, space } = study;
  const names = Object.keys(space.dimensions);
  const size = { width: Math.max(720, 140 * (names.length + 1)), height: 380 };
  const x = (index: number): number => 70 + (index * (size.width - 140)) / names.length;
  const points = trials.flatMap((trial) => {
    const value = bestValue(trial, direction);
    return value === undefined ? [] : [{ trial, value }];
  });
  const title = `${studyId}: parameters and ${metric}`;
  if (points.length === 0) return drawing(size, title, [text(70, top + 24, "no values yet")]);
  const axis = rangeOf(points.map(({ value }) => value));
  const y = (share: number): number => top + height * (1 - share);
  const shareOf = (value: number): number => place(axis, value, 0, 1);
  const ranked = points.toSorted((a, b) => (direction === "minimize" ? b.value - a.value : a.value - b.value));
  return drawing(size, title, [
    ...names.map((name, index) => axisParts(x(index), name, space.dimensions[name]!.domain)),
    axisLine(x(names.length), metric, [figure(axis.min), figure(axis.max)]),
    // The best last, on top of the others.
    ...ranked.map(({ trial, value }, rank) => {
      const steps = names.flatMap((name, index) => {
        const chosen = trial.params[name];
        return chosen === undefined
          ? []
          : [`${short(x(index))} ${short(y(toUnit(space.dimensions[name]!.domain, chosen)))}`];
      });
      const d = `M${[...steps, `${short(x(names.length))} ${short(y(shareOf(value)))}`].join("L")}`;
      const goodness = ranked.length === 1 ? 1 : rank / (ranked.length - 1);
      return titled(
        element("path", { class: "trial", stroke: shade(goodness), d }),
        `trial ${trial.number}: ${figure(value)}`,
      );
    }),
  ]);
}

function axisParts(x: number, name: string, domain: Domain): string {
  const ends =
    domain.kind === "range"
      ? [label(domain.min), label(domain.max)]
      : [label(domain.values[0]!), label(domain.values.at(-1)!)];
  const between =
    domain.kind === "range" || domain.values.length < 3
      ? ""
      : domain.values
          .slice(1, -1)
          .map((value) => text(x + 6, top + height * (1 - toUnit(domain, value)) + 4, label(value)))
          .join("");
  return axisLine(x, name, ends) + between;
}

function axisLine(x: number, name: string, [low = "", high = ""]: readonly string[]): string {
  return (
    element("path", { class: "grid", d: `M${short(x)} ${top}v${height}` }) +
    text(x, top - 20, lastName(name), "middle") +
    text(x, top - 6, high, "middle") +
    text(x, top + height + 16, low, "middle")
  );
}

function label(value: ParameterValue): string {
  return typeof value === "number" ? figure(value) : String(value);
}

export function lastName(key: string): string {
  return key.slice(key.lastIndexOf(".") + 1);
}
