import { number } from "../format.ts";
import {
  across,
  height,
  type Interval,
  intervalOf,
  plotLeft,
  plotRight,
  scale,
  ticks,
  upward,
  viewBox,
  width,
} from "./scale.ts";

interface Dot {
  readonly name: string;
  readonly colour: string;
}

export interface NumericAxis<T> {
  readonly id: string;
  readonly title: string;
  of(item: T): number | undefined;
}

interface ScatterProps<T> {
  readonly items: readonly T[];
  readonly x: NumericAxis<T>;
  readonly y: NumericAxis<T>;
}

/** A point an item. */
export function Scatter<T extends Dot>({ items, x, y }: ScatterProps<T>) {
  const xs = intervalOf(items.map(x.of));
  const ys = intervalOf(items.map(y.of));
  const [toX, toY] = [scale(xs, across), scale(ys, upward)];
  return (
    <svg class="scatter" viewBox={viewBox} role="img" aria-label={`${y.id} over ${x.id}`}>
      <Levels interval={ys} />
      {ticks(xs).map((value) => (
        <text key={value} x={toX(value)} y={height + 4} text-anchor="middle">
          {number(value)}
        </text>
      ))}
      <AcrossTitle text={x.title} />
      {items.map((item, index) => {
        const [a, b] = [x.of(item), y.of(item)];
        if (a === undefined || b === undefined || !Number.isFinite(a) || !Number.isFinite(b)) return null;
        return (
          <circle key={index} cx={toX(a)} cy={toY(b)} r={5} fill={item.colour} fill-opacity={0.8}>
            <title>
              {item.name}: {x.title} {number(a)}, {y.title} {number(b)}
            </title>
          </circle>
        );
      })}
    </svg>
  );
}

/** Horizontal lines with their values. */
export function Levels({ interval }: { interval: Interval }) {
  const toY = scale(interval, upward);
  return (
    <>
      {ticks(interval).map((value) => (
        <g key={value}>
          <line x1={plotLeft} x2={plotRight} y1={toY(value)} y2={toY(value)} />
          <text x={plotLeft - 8} y={toY(value) + 4} text-anchor="end">
            {number(value)}
          </text>
        </g>
      ))}
    </>
  );
}

export function AcrossTitle({ text }: { text: string }) {
  return (
    <text x={width / 2} y={height + 26} text-anchor="middle">
      {text}
    </text>
  );
}
