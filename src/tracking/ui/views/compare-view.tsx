import { useState } from "preact/hooks";
import { getRun } from "../api.ts";
import { ChartWall } from "../charts/chart-wall.tsx";
import { colourOf } from "../charts/colours.ts";
import type { NumericAxis } from "../charts/scatter.tsx";
import { type ColouredRun, Differences } from "../compare/differences.tsx";
import { ParallelSection } from "../compare/parallel-section.tsx";
import { ScatterSection } from "../compare/scatter-section.tsx";
import { Empty } from "../fields.tsx";
import { link } from "../route.ts";
import { isSystemMetric } from "../runs/run.ts";
import { useWork } from "../work.ts";

/** More columns than this are no table to read. */
const maxColumns = 40;
/** Requests at a time. */
const together = 20;

/** Many runs side by side: curves over each other, what differs, how params and metrics go together. */
export function CompareView({ ids }: { ids: readonly string[] }) {
  const [runs, setRuns] = useState<readonly ColouredRun[]>();
  useWork(
    async (signal) => {
      const found: ColouredRun[] = [];
      const problems: string[] = [];
      for (let start = 0; start < ids.length && !signal.aborted; start += together) {
        const asked = ids.slice(start, start + together).map((id) => getRun(id, signal));
        for (const answer of await Promise.allSettled(asked))
          if (answer.status === "rejected") problems.push(answer.reason.message);
          else found.push({ ...answer.value, colour: colourOf(found.length) });
      }
      if (signal.aborted) return;
      setRuns(found);
      if (problems.length > 0) throw new Error(`${problems.length} of ${ids.length} runs are left out: ${problems[0]}`);
    },
    [ids.join()],
  );
  if (ids.length === 0)
    return (
      <Empty title="Nothing to compare">
        <p>Choose two or more runs in the table of an experiment, then Compare.</p>
      </Empty>
    );
  if (runs === undefined) return <p class="muted">Loading …</p>;
  const metricKeys = keysOf(runs, "metrics").filter((key) => !isSystemMetric(key));
  const paramKeys = keysOf(runs, "params");
  const axes = axesOf(runs, { metricKeys, paramKeys });
  return (
    <>
      <h1>{runs.length} runs compared</h1>
      {runs.length <= maxColumns ? (
        <p>
          {runs.map(({ id, name, colour }) => (
            <span class="badge" key={id}>
              <span aria-hidden="true" style={{ color: colour }}>
                ●
              </span>{" "}
              <a href={link(["runs", id])}>{name}</a>
            </span>
          ))}
        </p>
      ) : null}
      <h2>Curves</h2>
      {metricKeys.length === 0 ? (
        <p class="muted">no metrics</p>
      ) : (
        <ChartWall keys={metricKeys} runs={runs} live={runs.some(({ status }) => status === "RUNNING")} />
      )}
      <h2>Parallel coordinates</h2>
      {axes.length < 2 ? <TooFew /> : <ParallelSection runs={runs} axes={axes} />}
      <h2>Scatter</h2>
      {axes.length < 2 ? <TooFew /> : <ScatterSection runs={runs} axes={axes} />}
      <h2>Differences</h2>
      <Differences runs={runs.slice(0, maxColumns)} paramKeys={paramKeys} metricKeys={metricKeys} total={runs.length} />
    </>
  );
}

function TooFew() {
  return <p class="muted">needs two numbers that the runs have</p>;
}

function keysOf(runs: readonly ColouredRun[], part: "metrics" | "params"): readonly string[] {
  return [...new Set(runs.flatMap((run) => Object.keys(run[part])))].sort();
}

/** Metrics, and those params that are numbers and differ. */
function axesOf(
  runs: readonly ColouredRun[],
  { metricKeys, paramKeys }: { metricKeys: readonly string[]; paramKeys: readonly string[] },
): NumericAxis<ColouredRun>[] {
  const isNumeric = (key: string) =>
    runs.every(({ params }) => params[key] === undefined || Number.isFinite(Number(params[key])));
  const differs = (key: string) => runs.some(({ params }) => params[key] !== runs[0]?.params[key]);
  return [
    ...metricKeys.map((key) => ({ id: `metrics.${key}`, title: key, of: (run: ColouredRun) => run.metrics[key] })),
    ...paramKeys
      .filter((key) => differs(key) && isNumeric(key))
      .map((key) => ({
        id: `params.${key}`,
        title: key,
        of: ({ params }: ColouredRun) => (params[key] === undefined ? undefined : Number(params[key])),
      })),
  ];
}
