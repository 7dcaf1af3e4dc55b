import { across, intervalOf, scale, upward, viewBox } from "./scale.ts";
import { AcrossTitle, Levels } from "./scatter.tsx";

interface TrialDot {
  readonly number: number;
  readonly value: number;
  readonly name: string;
  readonly colour: string;
}

interface BestSoFarProps {
  /** In the order of their numbers; one at least. */
  readonly trials: readonly TrialDot[];
  readonly direction: "maximize" | "minimize";
  readonly metric: string;
}

/** A point a trial, and the line of the best value up to each. */
export function BestSoFar({ trials, direction, metric }: BestSoFarProps) {
  const ys = intervalOf(trials.map(({ value }) => value));
  const x = scale([0, Math.max(1, trials.at(-1)?.number ?? 1)], across);
  const y = scale(ys, upward);
  let best: number | undefined;
  let path = "";
  for (const { number, value } of trials) {
    const before = best;
    if (best === undefined || (direction === "maximize" ? value > best : value < best)) best = value;
    const at = x(number).toFixed(1);
    path += before === undefined ? "M" : `L${at} ${y(before).toFixed(1)}L`;
    path += `${at} ${y(best).toFixed(1)}`;
  }
  return (
    <svg
      class="scatter"
      viewBox={viewBox}
      role="img"
      aria-label={`${metric} of ${trials.length} trials and the best so far`}
    >
      <Levels interval={ys} />
      <AcrossTitle text="trial" />
      <path d={path} class="best" />
      {trials.map(({ number, value, name, colour }) => (
        <circle key={number} cx={x(number)} cy={y(value)} r={5} fill={colour} fill-opacity={0.8}>
          <title>{name}</title>
        </circle>
      ))}
    </svg>
  );
}
