import { useState } from "preact/hooks";
import { type NumericAxis, Scatter } from "../charts/scatter.tsx";
import { Select } from "../fields.tsx";
import type { ColouredRun } from "./differences.tsx";

/** Two numbers of the runs against each other: at first a param and an accuracy. */
export function ScatterSection({
  runs,
  axes,
}: {
  runs: readonly ColouredRun[];
  axes: readonly NumericAxis<ColouredRun>[];
}) {
  const [x, setX] = useState(() => (axes.find(({ id }) => id.startsWith("params.")) ?? axes[1]!).id);
  const [y, setY] = useState(() => {
    const varies = ({ id, of }: NumericAxis<ColouredRun>) =>
      id.startsWith("metrics.") && runs.some((run) => of(run) !== of(runs[0]!));
    return (axes.find((axis) => varies(axis) && axis.id.includes("acc")) ?? axes.find(varies) ?? axes[0]!).id;
  });
  const options = axes.map(({ id }) => [id, id] as const);
  const find = (wanted: string) => axes.find(({ id }) => id === wanted)!;
  return (
    <div>
      <div class="bar">
        <Select label="Across" value={x} options={options} onChange={setX} />
        <Select label="Upward" value={y} options={options} onChange={setY} />
      </div>
      <Scatter items={runs} x={find(x)} y={find(y)} />
    </div>
  );
}
