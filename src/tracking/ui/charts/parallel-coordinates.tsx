import { number } from "../format.ts";
import { height, intervalOf, scale, viewBox, width } from "./scale.ts";

interface Line {
  readonly name: string;
  readonly colour: string;
}

export interface ParallelAxis<T> {
  readonly title: string;
  /** Undefined: the line is open there. */
  of(item: T): number | undefined;
  /** What stands at the ends. */
  label?(value: number): string;
}

/** One line an item through all axes. */
export function ParallelCoordinates<T extends Line>({
  items,
  axes,
}: {
  items: readonly T[];
  axes: readonly ParallelAxis<T>[];
}) {
  const placed = axes.map((axis, index) => {
    const interval = intervalOf(items.map(axis.of));
    const x = 60 + (index * (width - 120)) / Math.max(axes.length - 1, 1);
    return { axis, interval, x, y: scale(interval, [height - 10, 30]) };
  });
  const pathOf = (item: T) => {
    let path = "";
    let pen = "M";
    for (const { axis, x, y } of placed) {
      const value = axis.of(item);
      if (value === undefined || !Number.isFinite(value)) {
        pen = "M";
        continue;
      }
      path += `${pen}${x.toFixed(1)} ${y(value).toFixed(1)}`;
      pen = "L";
    }
    return path;
  };
  return (
    <svg class="parallel" viewBox={viewBox} role="img" aria-label={`Parallel coordinates of ${items.length} runs`}>
      <g>
        {items.map((item, index) => (
          <path key={index} d={pathOf(item)} stroke={item.colour}>
            <title>{item.name}</title>
          </path>
        ))}
      </g>
      {placed.map(({ axis: { title, label = number }, interval: [low, high], x }, index) => (
        <g key={title}>
          <line x1={x} x2={x} y1={30} y2={height - 10} />
          <text x={x} y={height + 6} text-anchor="middle">
            {label(low)}
          </text>
          <text x={x} y={24} text-anchor="middle">
            {label(high)}
          </text>
          <text x={x} y={index % 2 === 0 ? 10 : height + 24} text-anchor="middle">
            {title}
          </text>
        </g>
      ))}
    </svg>
  );
}
