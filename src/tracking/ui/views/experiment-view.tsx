import { useState } from "preact/hooks";
import { type Experiment, searchExperiments } from "../api.ts";
import { RunsSection } from "../experiment/runs-section.tsx";
import { Empty } from "../fields.tsx";
import { link } from "../route.ts";
import { useWork } from "../work.ts";

/** List of experiments, and the runs of one of them: the first when none is named. */
export function ExperimentView({ id, query }: { id: string | undefined; query: URLSearchParams }) {
  const [known, setKnown] = useState<readonly Experiment[]>();
  useWork(async () => setKnown(await searchExperiments()), []);
  if (known === undefined) return <p class="muted">Loading …</p>;
  const current = known.find(({ experiment_id }) => experiment_id === id) ?? known[0];
  if (current === undefined)
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
            aria-current={experiment_id === current.experiment_id ? "page" : undefined}
          >
            {name}
          </a>
        ))}
      </nav>
      <RunsSection experiment={current} query={query} />
    </div>
  );
}
