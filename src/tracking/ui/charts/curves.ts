import type { Point } from "../api.ts";

export const axes = { step: "step", time: "time", relative: "time since start" } as const;

/** What all charts of a view share. */
export interface ChartSettings {
  readonly axis: keyof typeof axes;
  readonly logY: boolean;
  /** Weight of the past in the moving average, from 0 to below 1. */
  readonly smoothing: number;
}

/** The points of one run under the run's name and colour. */
export interface Curve {
  readonly name: string;
  readonly colour: string;
  readonly points: readonly Point[];
}

/** Exponential moving average, without the pull to zero at the beginning; gaps stay gaps. */
export function smooth(values: readonly (number | null)[], weight: number): (number | null)[] {
  if (weight <= 0) return [...values];
  let last = 0;
  let steps = 0;
  return values.map((value) => {
    if (value === null) return null;
    last = last * weight + (1 - weight) * value;
    steps += 1;
    return last / (1 - weight ** steps);
  });
}

/** Abscissas in ascending order and ordinates: of several values at one abscissa the last, null for what is no number. */
export function tableOf(
  points: readonly Point[],
  { axis, smoothing }: ChartSettings,
): [xs: number[], ys: (number | null)[]] {
  const first = points.reduce((earliest, { timestamp }) => Math.min(earliest, timestamp), Number.POSITIVE_INFINITY);
  const xOf = ({ step, timestamp }: Point) =>
    axis === "step" ? step : (axis === "time" ? timestamp : timestamp - first) / 1000;
  const sorted = points.map((point) => [xOf(point), point.value] as const).sort((a, b) => a[0] - b[0]);
  const xs: number[] = [];
  const ys: (number | null)[] = [];
  for (const [x, value] of sorted) {
    const y = Number.isFinite(value) ? value : null;
    if (xs.at(-1) === x) ys[ys.length - 1] = y;
    else {
      xs.push(x);
      ys.push(y);
    }
  }
  return [xs, smooth(ys, smoothing)];
}
