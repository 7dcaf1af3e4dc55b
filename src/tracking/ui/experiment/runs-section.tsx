import { useContext, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { call, type Experiment, searchRuns } from "../api.ts";
import { Empty } from "../fields.tsx";
import { ReportContext } from "../report.ts";
import type { Run } from "../runs/run.ts";
import { useRepeatedWork, useSettled } from "../work.ts";
import { columnsOf, isMetricColumn, keysOf } from "./columns.ts";
import { fieldName, isWhole, type KnownFields } from "./filter-completion.ts";
import { FilterField } from "./filter-field.tsx";
import { useMetricValues } from "./metric-values.ts";
import { rowsOf, sortRuns } from "./rows.ts";
import { RunTable } from "./run-table.tsx";
import { compareLink, keepSettings, readSettings, type TableSettings } from "./table-settings.ts";
import { TableTools } from "./table-tools.tsx";

const maxRuns = 10_000;
const refreshMs = 5000;
/** Reading thousands of runs again takes a while: between two reads lie so many times their time. */
const restFactor = 20;
const typingMs = 400;
/** A filter in the middle of a comparison is refused only when nothing more comes. */
const thinkingMs = 2000;

/** The runs of an experiment: a table to filter, sort, group and choose from. */
export function RunsSection({ experiment, query }: { experiment: Experiment; query: URLSearchParams }) {
  const id = experiment.experiment_id;
  const report = useContext(ReportContext);
  const [settings, setSettings] = useState(() => readSettings(id, query));
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const [live, setLive] = useState(true);
  const [changes, setChanges] = useState(0);
  const [entered, setEntered] = useState(settings.filter);
  const patienceMs = entered === settings.filter ? 0 : isWhole(settings.filter) ? typingMs : thinkingMs;
  const filter = useSettled(settings.filter, patienceMs);
  const step = useSettled(settings.step, typingMs);
  const { runs, complete } = useRuns({ experiment: id, filter, settings, live, changes });
  useEffect(() => keepSettings(id, { ...settings, filter, step }), [id, settings, filter, step]);

  const metrics = useMemo(() => keysOf(runs, "metrics"), [runs]);
  const params = useMemo(() => keysOf(runs, "params"), [runs]);
  const known = useMemo(() => knownFields(runs), [runs]);
  const { columns: chosen, onlyDifferent, group, order, values: kind } = settings;
  const common = { runs, metrics, params, chosen, onlyDifferent };
  const metricKeys = columnsOf({ ...common, values: { note: "", of: () => undefined } })
    .filter(isMetricColumn)
    .map(({ metric }) => metric);
  const values = useMetricValues({ runs, kind, step, metrics: metricKeys });
  const columns = useMemo(() => columnsOf({ ...common, values }), [...Object.values(common), values]);
  const rows = useMemo(() => {
    const column = columns.find((one) => one.id === order.id);
    const isOurs = column !== undefined && isSortedHere(order.id, kind);
    return rowsOf(isOurs ? sortRuns(runs, column, order) : runs, group, columns);
  }, [runs, columns, order, group, kind]);

  const change = (part: Partial<TableSettings>) => setSettings({ ...settings, ...part });
  const ids = runs.filter((run) => selected.has(run.id)).map((run) => run.id);
  const remove = async () => {
    if (!confirm(`Delete ${ids.length} runs? They can be restored through the API.`)) return;
    for (const run of ids) await call("POST", "runs/delete", { run_id: run });
    setSelected(new Set());
    setChanges((count) => count + 1);
  };
  return (
    <section aria-label={experiment.name}>
      <h1>{experiment.name}</h1>
      <div class="bar">
        <FilterField
          value={settings.filter}
          known={known}
          onInput={(text) => change({ filter: text })}
          onEnter={() => setEntered(settings.filter)}
        />
        <button
          type="button"
          class="primary"
          disabled={ids.length < 2}
          onClick={() => {
            location.hash = compareLink(ids);
          }}
        >
          {ids.length === 0 ? "Compare" : `Compare ${ids.length}`}
        </button>
        <button
          type="button"
          disabled={ids.length === 0}
          onClick={() => remove().then(() => report(undefined), report)}
        >
          Delete
        </button>
      </div>
      <TableTools
        settings={settings}
        columns={columns}
        metrics={metrics}
        params={params}
        live={live}
        onLive={setLive}
        onChange={change}
      >
        <span class="muted" aria-live="polite" id="run-count">
          {runs.length === 1 ? "1 run" : `${runs.length.toLocaleString("en")} runs`}
          {complete ? "" : " …"}
        </span>
      </TableTools>
      {runs.length === 0 && complete ? (
        <NoRuns isFiltered={filter !== ""} />
      ) : (
        <RunTable
          rows={rows}
          columns={columns}
          order={order}
          selected={selected}
          onSelect={setSelected}
          onSort={(column) =>
            change({ order: { id: column.id, descending: order.id === column.id ? !order.descending : true } })
          }
        />
      )}
    </section>
  );
}

/** What the server can't order by. */
function isSortedHere(column: string, kind: TableSettings["values"]): boolean {
  return column === "duration" || (kind !== "last" && column.startsWith("metrics."));
}

interface RunsOptions {
  readonly experiment: string;
  readonly filter: string;
  readonly settings: TableSettings;
  readonly live: boolean;
  /** Grows when runs were changed here. */
  readonly changes: number;
}

function useRuns({ experiment, filter, settings: { order, values }, live, changes }: RunsOptions) {
  const [found, setFound] = useState<{ runs: readonly Run[]; complete: boolean }>({ runs: [], complete: false });
  const [restMs, setRestMs] = useState(refreshMs);
  /** What the table shows all runs of. */
  const whole = useRef("");
  const direction = order.descending ? "DESC" : "ASC";
  const serverOrder = isSortedHere(order.id, values) ? "attributes.start_time DESC" : `${order.id} ${direction}`;
  useRepeatedWork(
    async (signal) => {
      let pages = 0;
      const began = performance.now();
      const asked = JSON.stringify([experiment, filter, serverOrder]);
      await searchRuns({
        experiment,
        filter,
        order: serverOrder,
        limit: maxRuns,
        signal,
        onPage: (some, all) => {
          pages += 1;
          // The first page at once, the others when all are here: fewer redraws. What is read again replaces the whole.
          if (all || (pages === 1 && whole.current !== asked)) setFound({ runs: some, complete: all });
          if (all) whole.current = asked;
        },
      });
      // Whole refresh times: the clock does not start anew for each small difference.
      setRestMs(refreshMs * Math.ceil((restFactor * (performance.now() - began)) / refreshMs));
    },
    [experiment, filter, serverOrder, changes],
    { ms: restMs, active: live },
  );
  return found;
}

function knownFields(runs: readonly Run[]): KnownFields {
  const names = (part: "metrics" | "params" | "tags") => [...keysOf(runs, part).keys()].sort();
  return {
    fields: [
      ...names("metrics").map((key) => fieldName("metrics", key)),
      ...names("params").map((key) => fieldName("params", key)),
      ...names("tags").map((key) => fieldName("tags", key)),
    ],
    valuesOf(field) {
      const [entity, ...rest] = field.split(".");
      const key = rest.join(".");
      if (field === "attributes.status") return ["FINISHED", "RUNNING", "FAILED", "KILLED"];
      const textOf = (run: Run) => {
        if (entity === "params" || entity === "tags") return run[entity][key];
        return field === "attributes.run_name" ? run.name : undefined;
      };
      return [...new Set(runs.map(textOf))].filter((value) => value !== undefined);
    },
  };
}

function NoRuns({ isFiltered }: { isFiltered: boolean }) {
  if (isFiltered)
    return (
      <Empty title="No run matches the filter">
        <p>Example: metrics.val_accuracy &gt; 0.9 AND tags.note LIKE 'a%'</p>
      </Empty>
    );
  return (
    <Empty title="No runs yet">
      <p>Start a training that logs here:</p>
      <p>
        <code>cifar train --set mlflow.tracking_uri={location.origin}</code>
      </p>
      <p>or with MLflow's own client:</p>
      <p>
        <code>MLFLOW_TRACKING_URI={location.origin} python train.py</code>
      </p>
    </Empty>
  );
}
