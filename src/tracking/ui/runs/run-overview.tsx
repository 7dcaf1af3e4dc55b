import { useState } from "preact/hooks";
import { type Range, rangeKey, searchRanges } from "../api.ts";
import { Empty, Table } from "../fields.tsx";
import { number } from "../format.ts";
import { useWork } from "../work.ts";
import { isSystemMetric, type Run } from "./run.ts";

const sorted = <T,>(record: Readonly<Record<string, T>>) => Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));

/** What a run was given and what it reached. */
export function RunOverview({ run }: { run: Run }) {
  const params = sorted(run.params);
  return (
    <div class="columns">
      <section>
        <h2>Metrics</h2>
        <Metrics run={run} />
        <h2>Datasets</h2>
        {run.datasets.length === 0 ? (
          <p class="muted">none logged</p>
        ) : (
          <Table
            heads={["Name", "Digest", "Use"]}
            rows={run.datasets.map(({ dataset, tags = [] }) => [
              dataset.name,
              dataset.digest,
              tags.find(({ key }) => key === "mlflow.data.context")?.value ?? "",
            ])}
          />
        )}
        <h2>Tags</h2>
        <Table heads={["Tag", "Value"]} rows={[["run id", run.id], ...sorted(run.tags)]} />
      </section>
      <section>
        <h2>Params</h2>
        {params.length === 0 ? <p class="muted">none logged</p> : <Table heads={["Param", "Value"]} rows={params} />}
      </section>
    </div>
  );
}

function Metrics({ run }: { run: Run }) {
  const [ranges, setRanges] = useState<ReadonlyMap<string, Range>>(new Map());
  useWork(async () => setRanges(await searchRanges([run.id])), [run]);
  const metrics = sorted(run.metrics).filter(([key]) => !isSystemMetric(key));
  if (metrics.length === 0)
    return (
      <Empty title="No metrics yet">
        <p>They appear when the run logs them.</p>
      </Empty>
    );
  return (
    <Table
      heads={["Metric", "Last", "Smallest", "Largest"]}
      rows={metrics.map(([key, value]) => {
        const range = ranges.get(rangeKey(run.id, key));
        return [key, number(value), number(range?.min), number(range?.max)];
      })}
    />
  );
}
