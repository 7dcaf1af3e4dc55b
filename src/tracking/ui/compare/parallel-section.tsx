import { useState } from "preact/hooks";
import { ParallelCoordinates } from "../charts/parallel-coordinates.tsx";
import type { NumericAxis } from "../charts/scatter.tsx";
import { Toggle } from "../fields.tsx";
import type { ColouredRun } from "./differences.tsx";

/** As many axes as can be read, params first; the others by choice. */
const firstAxes = 7;
const firstParams = 5;

export function ParallelSection({
  runs,
  axes,
}: {
  runs: readonly ColouredRun[];
  axes: readonly NumericAxis<ColouredRun>[];
}) {
  const [chosen, setChosen] = useState<ReadonlySet<string>>(() => {
    const params = axes.filter(({ id }) => id.startsWith("params.")).slice(0, firstParams);
    const metrics = axes.filter(({ id }) => id.startsWith("metrics."));
    return new Set([...params, ...metrics.slice(0, firstAxes - params.length)].map(({ id }) => id));
  });
  const choose = (id: string, on: boolean) =>
    setChosen(new Set(on ? [...chosen, id] : [...chosen].filter((other) => other !== id)));
  return (
    <div>
      <details>
        <summary class="button">Axes</summary>
        <div class="bar">
          <button type="button" onClick={() => setChosen(new Set(axes.map(({ id }) => id)))}>
            All
          </button>
          {axes.map(({ id, title }) => (
            <Toggle key={id} label={title} checked={chosen.has(id)} onChange={(on) => choose(id, on)} />
          ))}
        </div>
      </details>
      <ParallelCoordinates items={runs} axes={axes.filter(({ id }) => chosen.has(id))} />
    </div>
  );
}
