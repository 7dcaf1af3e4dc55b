import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { type Report, ReportContext } from "./report.ts";
import { parseRoute } from "./route.ts";
import { CompareView } from "./views/compare-view.tsx";
import { ExperimentView } from "./views/experiment-view.tsx";
import { ModelView } from "./views/model-view.tsx";
import { ModelsView } from "./views/models-view.tsx";
import { RunView } from "./views/run-view.tsx";

/** The frame of the page, and in it the view that the address names. */
export function App() {
  const [visit, setVisit] = useState({ count: 0, route: parseRoute(location.hash) });
  const [problems, setProblems] = useState<ReadonlyMap<object | undefined, string>>(new Map());
  const content = useRef<HTMLElement>(null);
  const report: Report = useCallback((problem, owner) => {
    const text = problem === undefined ? undefined : problem instanceof Error ? problem.message : String(problem);
    setProblems((known) => {
      if (known.get(owner) === text) return known;
      const others = [...known].filter(([other]) => other !== owner);
      return new Map(text === undefined ? others : [...others, [owner, text]]);
    });
  }, []);
  useEffect(() => {
    const go = () => {
      setProblems(new Map());
      setVisit(({ count }) => ({ count: count + 1, route: parseRoute(location.hash) }));
    };
    window.addEventListener("hashchange", go);
    return () => window.removeEventListener("hashchange", go);
  }, []);
  useEffect(() => {
    if (visit.count > 0) content.current?.focus();
  }, [visit.count]);
  const { words, query } = visit.route;
  const [kind = "experiments", id] = words;
  const isModel = kind === "models";
  return (
    <ReportContext.Provider value={report}>
      <button type="button" class="skip-link" onClick={() => content.current?.focus()}>
        Skip to content
      </button>
      <header class="site-header">
        <a class="brand" href="#/">
          <img src="/page/icon.svg" alt="" width="24" height="24" /> cifar tracking
        </a>
        <nav aria-label="Main">
          <a class="nav-link" href="#/" aria-current={isModel ? undefined : "page"}>
            Experiments
          </a>
          <a class="nav-link" href="#/models" aria-current={isModel ? "page" : undefined}>
            Models
          </a>
        </nav>
      </header>
      <p id="problem" role="alert" hidden={problems.size === 0}>
        {[...new Set(problems.values())].join("; ")}
      </p>
      <main id="content" tabIndex={-1} ref={content} key={visit.count}>
        {view({ kind, id, query })}
      </main>
    </ReportContext.Provider>
  );
}

function view({ kind, id, query }: { kind: string; id: string | undefined; query: URLSearchParams }) {
  if (kind === "runs" && id !== undefined) return <RunView id={id} tab={query.get("tab") ?? "overview"} />;
  if (kind === "compare") return <CompareView ids={(query.get("runs") ?? "").split(",").filter(Boolean)} />;
  if (kind === "models") return id === undefined ? <ModelsView /> : <ModelView name={id} />;
  return <ExperimentView id={id} query={query} />;
}
