import { useState } from "preact/hooks";
import { artifactUrl, readArtifact } from "../api.ts";
import { BestSoFar } from "../charts/best-so-far.tsx";
import { shadeOf } from "../charts/colours.ts";
import { type ParallelAxis, ParallelCoordinates } from "../charts/parallel-coordinates.tsx";
import { Empty, Table } from "../fields.tsx";
import { duration, number } from "../format.ts";
import { link } from "../route.ts";
import { useRepeatedWork } from "../work.ts";
import type { SweepState, SweepSummary, SweepTrial } from "./sweep-state.ts";

const refreshMs = 3000;

/** The trials of a sweep as they are: how they go, the best so far, what matters. */
export function SweepPanel({ runId, live }: { runId: string; live: boolean }) {
  const [shown, setShown] = useState<{ state: SweepState; summary: SweepSummary | undefined }>();
  useRepeatedWork(
    async (signal) => {
      const read = async (path: string) => (await readArtifact(artifactUrl(runId, path))).json();
      const state: SweepState = await read("tuning/state.json");
      // The state tells that it is over before the summary is there.
      const isWhole = !state.finished || shown?.summary !== undefined;
      if (state.updatedAt === shown?.state.updatedAt && isWhole) return;
      const summary: SweepSummary | undefined = state.finished
        ? await read("tuning/summary.json").catch(() => undefined)
        : undefined;
      if (!signal.aborted) setShown({ state, summary });
    },
    [runId, live],
    { ms: refreshMs, active: live },
  );
  return (
    <div class="sweep">
      {shown === undefined ? <p class="muted">Loading…</p> : <Sweep state={shown.state} summary={shown.summary} />}
    </div>
  );
}

type ValuedTrial = SweepTrial & { readonly value: number; readonly name: string; readonly colour: string };

function Sweep({ state, summary }: { state: SweepState; summary: SweepSummary | undefined }) {
  const { metric, direction, trials, best, sampler, scheduler, counts, seconds } = state;
  const parts = Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([status, count]) => `${count} ${status}`);
  const facts = [
    `${trials.length} trials (${parts.join(", ")})`,
    `${sampler}, ${scheduler}`,
    `${metric}, ${direction === "maximize" ? "much" : "little"} of it is good`,
    duration(1000 * seconds),
  ];
  const ranks = ranksOf(trials, direction);
  // Lines that are drawn later lie above.
  const bestLast = (items: readonly ValuedTrial[]) =>
    [...items].sort((a, b) => ranks.get(b.number)! - ranks.get(a.number)!);
  const valued = trials.flatMap((trial): ValuedTrial[] =>
    trial.value === null
      ? []
      : [
          {
            ...trial,
            value: trial.value,
            name: `trial ${trial.number}: ${metric} ${number(trial.value)}`,
            colour: shadeOf(ranks.get(trial.number)!, ranks.size),
          },
        ],
  );
  return (
    <>
      <p>{facts.join(" · ")}</p>
      {best === null ? null : (
        <p>
          Best so far: <strong>{`${number(best.value)} (trial ${best.trial})`}</strong>
        </p>
      )}
      <h2>Best so far</h2>
      {valued.length === 0 ? (
        <Empty title="No values yet">
          <p>Each trial appears here after its first epoch.</p>
        </Empty>
      ) : (
        <BestSoFar trials={valued} direction={direction} metric={metric} />
      )}
      <h2>Parallel coordinates</h2>
      {valued.length < 2 ? (
        <p class="muted">needs two trials</p>
      ) : (
        <ParallelCoordinates items={bestLast(valued)} axes={axesOf(state)} />
      )}
      <h2>Importance</h2>
      <Importance shares={summary?.importance ?? []} finished={state.finished} />
      <h2>Trials</h2>
      <Trials state={state} />
    </>
  );
}

/** The places of the trials that have a value, the best one 0. */
function ranksOf(trials: readonly SweepTrial[], direction: SweepState["direction"]): ReadonlyMap<number, number> {
  const better = direction === "maximize" ? -1 : 1;
  const ranked = trials.flatMap(({ number, value }) => (value === null ? [] : [{ number, value }]));
  ranked.sort((a, b) => better * (a.value - b.value) || a.number - b.number);
  return new Map(ranked.map(({ number }, rank) => [number, rank]));
}

function Importance({ shares, finished }: { shares: SweepSummary["importance"]; finished: boolean }) {
  if (shares.length === 0)
    return <p class="muted">{finished ? "too few trials to tell" : "known when the sweep is over"}</p>;
  return (
    <Table
      heads={["Parameter", "Share of the variance", ""]}
      rows={shares.map(({ parameter, share }) => {
        const percent = `${(100 * share).toFixed(1)} %`;
        return [parameter, percent, <meter min={0} max={1} value={share} aria-label={`${parameter}: ${percent}`} />];
      })}
    />
  );
}

const shortName = (name: string) => name.slice(name.lastIndexOf(".") + 1);

/** The parameters on the scales on which they are searched, then the metric. */
function axesOf({ space, metric }: SweepState): ParallelAxis<ValuedTrial>[] {
  const axes = Object.entries(space).map(([name, { domain }]): ParallelAxis<ValuedTrial> => {
    const title = shortName(name);
    if (domain.kind === "choice")
      return {
        title,
        of: ({ params }) => (name in params ? domain.values.indexOf(params[name]!) : undefined),
        label: (at) => String(domain.values[Math.round(at)] ?? ""),
      };
    const of = ({ params }: ValuedTrial) => (name in params ? Number(params[name]) : undefined);
    if (domain.scale !== "log") return { title, of };
    return {
      title,
      of: (trial) => {
        const value = of(trial);
        return value === undefined ? undefined : Math.log10(value);
      },
      label: (at) => number(10 ** at),
    };
  });
  return [...axes, { title: metric, of: ({ value }) => value }];
}

function Trials({ state: { trials, space, metric, best } }: { state: SweepState }) {
  const names = Object.keys(space);
  const rows = trials.map((trial) => {
    const name = `${trial.number}${best?.trial === trial.number ? " (best)" : ""}`;
    return [
      trial.runId === null ? name : <a href={link(["runs", trial.runId])}>{name}</a>,
      trial.reason ?? trial.status,
      number(trial.value),
      number(trial.reports.at(-1)?.step),
      duration(1000 * trial.seconds),
      ...names.map((key) => {
        const value = trial.params[key];
        return value === undefined ? "" : typeof value === "number" ? number(value) : String(value);
      }),
    ];
  });
  return (
    <Table id="trials" heads={["Trial", "State", metric, "Epochs", "Time", ...names.map(shortName)]} rows={rows} />
  );
}
