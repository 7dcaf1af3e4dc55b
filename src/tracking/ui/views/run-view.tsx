import { useState } from "preact/hooks";
import { type Experiment, getExperiment, getRun, listArtifacts } from "../api.ts";
import { ArtifactBrowser } from "../artifacts/artifact-browser.tsx";
import { ChartWall } from "../charts/chart-wall.tsx";
import { colourOf } from "../charts/colours.ts";
import { Empty } from "../fields.tsx";
import { duration, time } from "../format.ts";
import { link, showInAddress } from "../route.ts";
import { ModelCard } from "../runs/model-card.tsx";
import { elapsed, isSystemMetric, type Run } from "../runs/run.ts";
import { RunOverview } from "../runs/run-overview.tsx";
import { SweepPanel } from "../sweep/sweep-panel.tsx";
import { useRepeatedWork, useWork } from "../work.ts";

const refreshMs = 3000;
const parts = {
  overview: "Overview",
  sweep: "Sweep",
  metrics: "Metrics",
  system: "System",
  model: "Model",
  artifacts: "Artifacts",
};
type Part = keyof typeof parts;
/** Parts that only some runs have, and the files by which they are known. */
const marks: Partial<Record<Part, string>> = { sweep: "tuning/state.json", model: "model/metadata.json" };

/** One run: what it was given, what it reached, its curves and files. */
export function RunView({ id, tab }: { id: string; tab: string }) {
  const [run, setRun] = useState<Run>();
  const [experiment, setExperiment] = useState<Experiment>();
  const [own, setOwn] = useState<ReadonlySet<Part>>(new Set());
  const [chosen, setChosen] = useState(tab);
  const live = run?.status === "RUNNING";
  useRepeatedWork(
    async (signal) => {
      const next = await getRun(id, signal);
      if (signal.aborted) return;
      // A sweep starts before it has told anything, and a model comes last: the tab is there when there is something to see.
      const missing = (Object.keys(marks) as Part[]).filter((part) => !own.has(part));
      const come = await Promise.all(missing.map(async (part) => ((await hasFile(id, marks[part]!)) ? [part] : [])));
      if (signal.aborted) return;
      if (come.flat().length > 0) setOwn(new Set([...own, ...come.flat()]));
      setRun(next);
    },
    [id],
    { ms: refreshMs, active: live },
  );
  useWork(
    async (signal) => {
      if (run !== undefined) setExperiment(await getExperiment(run.experiment, signal));
    },
    [run?.experiment],
  );
  if (run === undefined) return <p class="muted">Loading …</p>;
  const names = (Object.keys(parts) as Part[]).filter((name) => !(name in marks) || own.has(name));
  const open = names.find((name) => name === chosen) ?? "overview";
  const choose = (name: Part) => {
    setChosen(name);
    showInAddress(["runs", id], { tab: name });
  };
  return (
    <>
      <h1>{run.name}</h1>
      <RunFacts run={run} experiment={experiment?.name ?? run.experiment} />
      <div class="tabs" role="tablist" aria-label="Parts of the run">
        {names.map((name) => (
          <button
            type="button"
            role="tab"
            key={name}
            id={`tab-${name}`}
            aria-selected={name === open}
            aria-controls="tab-panel"
            tabIndex={name === open ? 0 : -1}
            onClick={() => choose(name)}
            onKeyDown={(event) => {
              const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
              if (way === undefined) return;
              const next = names[(names.indexOf(name) + way + names.length) % names.length]!;
              document.getElementById(`tab-${next}`)?.focus();
              choose(next);
            }}
          >
            {parts[name]}
          </button>
        ))}
      </div>
      <div id="tab-panel" role="tabpanel" aria-labelledby={`tab-${open}`}>
        <RunPart part={open} run={run} live={live} />
      </div>
    </>
  );
}

function RunPart({ part, run, live }: { part: Part; run: Run; live: boolean }) {
  switch (part) {
    case "overview":
      return <RunOverview run={run} />;
    case "sweep":
      return <SweepPanel runId={run.id} live={live} />;
    case "model":
      return <ModelCard runId={run.id} />;
    case "artifacts":
      return <ArtifactBrowser runId={run.id} />;
    case "metrics":
    case "system": {
      const keys = Object.keys(run.metrics)
        .filter((key) => isSystemMetric(key) === (part === "system"))
        .sort();
      if (keys.length > 0)
        return (
          <ChartWall key={part} keys={keys} runs={[{ id: run.id, name: run.name, colour: colourOf(0) }]} live={live} />
        );
      return (
        <Empty title="No metrics">
          <p>They appear here while the run logs them.</p>
        </Empty>
      );
    }
    default:
      return part satisfies never;
  }
}

function RunFacts({ run, experiment }: { run: Run; experiment: string }) {
  const parent = run.tags["mlflow.parentRunId"];
  const children = link(["experiments", run.experiment], { filter: `tags.mlflow.parentRunId = '${run.id}'` });
  return (
    <p class="muted">
      <span class={`status ${run.status}`}>{run.status.toLowerCase()}</span> · started {time(run.start)} ·{" "}
      {duration(elapsed(run))} · by {run.user || "unknown"} ·{" "}
      <a href={link(["experiments", run.experiment])}>{experiment}</a> · <a href={children}>child runs</a>
      {parent === undefined ? null : (
        <>
          {" · "}
          <a href={link(["runs", parent])}>parent run</a>
        </>
      )}
    </p>
  );
}

async function hasFile(runId: string, wanted: string): Promise<boolean> {
  const files = await listArtifacts(runId, wanted.slice(0, wanted.indexOf("/"))).catch(() => []);
  return files.some(({ path }) => path === wanted);
}
