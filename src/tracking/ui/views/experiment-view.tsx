import { useState } from "preact/hooks";
import { type Experiment, getExperiment, searchExperiments } from "../api.ts";
import { RunsSection } from "../experiment/runs-section.tsx";
import { Empty } from "../fields.tsx";
import { link } from "../route.ts";
import { useWork } from "../work.ts";

/** List of experiments, and the runs of one of them: the first when none is named. */
export function ExperimentView({ id, query }: { id: string | undefined; query: URLSearchParams }) {
  const [known, setKnown] = useState<readonly Experiment[]>();
  const [current, setCurrent] = useState<Experiment>();
  useWork(async (signal) => {
    const all = await searchExperiments();
    setKnown(all);
    // One that is deleted, or too far back, is not in the list.
    const listed = id === undefined ? all[0] : all.find(({ experiment_id }) => experiment_id === id);
    setCurrent(listed ?? (id === undefined ? undefined : await getExperiment(id, signal)));
  }, []);
  if (known === undefined) return <p class="muted">Loading …</p>;
  if (known.length === 0 && id === undefined)
    return (
      <Empty title="No experiments">
        <p>All experiments are deleted. A training makes a new one: cifar train</p>
      </Empty>
    );
  return (
    <div class="layout">
      <nav class="side" aria-label="Experiments">
        <h2>Experiments</h2>
        {known.map(({ experiment_id, name }) => (
          <a
            key={experiment_id}
            href={link(["experiments", experiment_id])}
            aria-current={experiment_id === current?.experiment_id ? "page" : undefined}
          >
            {name}
          </a>
        ))}
      </nav>
      {current === undefined ? null : <RunsSection experiment={current} query={query} />}
    </div>
  );
}
