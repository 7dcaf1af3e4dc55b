import { call, experiments, histories, ranges, searchRuns } from "./api.js";
import { debounce, empty, h, select, toggle } from "./dom.js";
import { number } from "./format.js";
import { fixedColumns, runTable } from "./run-table.js";

const maxRuns = 10_000;
const refreshMs = 5000;
/** The columns of a first look, best known names first. */
const favourites = ["test_accuracy", "val_accuracy", "val_loss", "train_loss", "accuracy", "acc", "loss"];

/** List of experiments, and the runs of one of them. */
export async function experimentView({ place, id, query, signal, report }) {
  const known = await experiments();
  const current = known.find(({ experiment_id }) => experiment_id === id) ?? known[0];
  const side = h(
    "nav",
    { class: "side", "aria-label": "Experiments" },
    h("h2", {}, "Experiments"),
    known.map(({ experiment_id, name }) =>
      h(
        "a",
        {
          href: `#/experiments/${experiment_id}`,
          "aria-current": experiment_id === current?.experiment_id ? "page" : undefined,
        },
        name,
      ),
    ),
  );
  if (current === undefined) {
    place.append(empty("No experiments", "All experiments are deleted. A training makes a new one: cifar train"));
    return;
  }
  const experiment = current.experiment_id;
  const saved = JSON.parse(localStorage.getItem(`columns-${experiment}`) ?? "null");
  const state = {
    runs: [],
    complete: false,
    ranges: new Map(),
    atStep: new Map(),
    filter: query.get("filter") ?? "",
    order: { id: "attributes.start_time", descending: true },
    values: "last",
    step: 0,
    onlyDifferent: true,
    group: "",
    columns: saved,
    selected: [],
  };
  const table = runTable({
    onSort: (column) => {
      state.order = { id: column.id, descending: state.order.id === column.id ? !state.order.descending : true };
      if (column.id === "duration" || state.values !== "last") show();
      else void load();
    },
    onSelect: (ids) => {
      state.selected = ids;
      showActions();
    },
  });
  const count = h("span", { class: "muted", "aria-live": "polite", id: "run-count" });
  const compare = h("button", {
    type: "button",
    class: "primary",
    onclick: () => {
      location.hash = `#/compare?runs=${state.selected.join(",")}`;
    },
  });
  const remove = h("button", { type: "button", onclick: () => deleteSelected().catch(report) }, "Delete");
  const showActions = () => {
    const chosen = state.selected.length;
    compare.textContent = chosen === 0 ? "Compare" : `Compare ${chosen}`;
    compare.disabled = chosen < 2;
    remove.disabled = chosen === 0;
  };
  const filter = h("input", {
    type: "search",
    value: state.filter,
    placeholder: "metrics.val_accuracy > 0.9 AND params.model.name = 'resnet9'",
    oninput: debounce((event) => {
      state.filter = event.target.value;
      void load();
    }, 400),
  });
  const chooser = h("div");
  const groups = h("select", {
    onchange: (event) => {
      state.group = event.target.value;
      show();
    },
  });
  const live = { on: true };
  const stepField = h("input", {
    type: "number",
    min: "0",
    value: "0",
    "aria-label": "Step",
    oninput: debounce((event) => {
      state.step = Number(event.target.value);
      void loadValues();
    }, 300),
  });
  stepField.hidden = true;
  const holder = h("div");
  place.append(
    h(
      "div",
      { class: "layout" },
      side,
      h(
        "section",
        { "aria-label": current.name },
        h("h1", {}, current.name),
        h(
          "div",
          { class: "bar" },
          h("label", { class: "field wide" }, "Filter (MLflow's search syntax)", filter),
          compare,
          remove,
        ),
        h(
          "div",
          { class: "bar" },
          select({
            label: "Metric values",
            value: state.values,
            options: [
              ["last", "last"],
              ["min", "smallest"],
              ["max", "largest"],
              ["step", "at a step"],
            ],
            onchange: (value) => {
              state.values = value;
              stepField.hidden = value !== "step";
              void loadValues();
            },
          }),
          stepField,
          h("label", { class: "field" }, "Group by", groups),
          toggle({
            label: "Only what differs",
            id: "only-different",
            checked: state.onlyDifferent,
            onchange: (on) => {
              state.onlyDifferent = on;
              show();
            },
          }),
          toggle({
            label: "Live",
            checked: true,
            onchange: (on) => {
              live.on = on;
            },
          }),
          h("details", { class: "menu" }, h("summary", { class: "button" }, "Columns"), chooser),
          count,
        ),
        holder,
      ),
    ),
  );
  showActions();

  const keysOf = (part) => {
    const keys = new Map();
    for (const run of state.runs)
      for (const [key, value] of Object.entries(run[part])) {
        const seen = keys.get(key);
        if (seen === undefined) keys.set(key, { first: value, count: 1, differs: false });
        else {
          seen.count += 1;
          seen.differs ||= seen.first !== value;
        }
      }
    for (const entry of keys.values()) entry.differs ||= entry.count < state.runs.length;
    return keys;
  };

  const metricValue = (run, key) => {
    if (state.values === "last") return run.metrics[key];
    if (state.values === "step") return state.atStep.get(`${run.id} ${key}`);
    return state.ranges.get(`${run.id} ${key}`)?.[state.values];
  };

  const columnsOf = (metrics, params) => {
    const metricKeys = [...metrics.keys()].filter((key) => !key.startsWith("system/"));
    const byFame = [...metricKeys].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
    const chosen = state.columns ?? { metrics: byFame.slice(0, 8), params: undefined };
    const isShown = (entry) => entry !== undefined && (!state.onlyDifferent || entry.differs || state.runs.length < 2);
    const paramKeys =
      chosen.params ??
      [...params.keys()]
        .filter((key) => isShown(params.get(key)))
        .sort()
        .slice(0, 24);
    const note = { last: "", min: "smallest", max: "largest", step: `step ${state.step}` }[state.values];
    return [
      ...fixedColumns,
      ...chosen.metrics
        .filter((key) => metrics.has(key))
        .map((key) => ({
          id: `metrics.\`${key}\``,
          title: key,
          width: 130,
          kind: "number",
          note,
          value: (run) => metricValue(run, key),
        })),
      ...paramKeys
        .filter((key) => isShown(params.get(key)))
        .map((key) => ({
          id: `params.\`${key}\``,
          title: key,
          width: 140,
          note: "param",
          value: (run) => run.params[key],
        })),
    ];
  };
  const rank = (key) => (favourites.includes(key) ? favourites.indexOf(key) : 99);

  const showChooser = (metrics, params, columns) => {
    if (chooser.parentElement.open) return;
    const shown = new Set(columns.map(({ id }) => id));
    const boxes = (prefix, keys) =>
      [...keys].sort().map((key) =>
        toggle({
          label: key,
          checked: shown.has(`${prefix}.\`${key}\``),
          onchange: (on) => {
            const base = state.columns ?? {
              metrics: columns.filter(({ id }) => id.startsWith("metrics.")).map(({ title }) => title),
              params: columns.filter(({ id }) => id.startsWith("params.")).map(({ title }) => title),
            };
            const part = prefix === "metrics" ? "metrics" : "params";
            const keysNow = base[part] ?? [];
            state.columns = { ...base, [part]: on ? [...keysNow, key] : keysNow.filter((other) => other !== key) };
            localStorage.setItem(`columns-${experiment}`, JSON.stringify(state.columns));
            void loadValues();
          },
        }),
      );
    chooser.replaceChildren(
      h(
        "button",
        {
          type: "button",
          onclick: () => {
            state.columns = null;
            localStorage.removeItem(`columns-${experiment}`);
            chooser.parentElement.open = false;
            show();
          },
        },
        "Default columns",
      ),
      h("h2", {}, "Metrics"),
      ...boxes("metrics", metrics.keys()),
      h("h2", {}, "Params"),
      ...boxes("params", params.keys()),
    );
  };

  let shownColumns = [];
  const show = () => {
    const metrics = keysOf("metrics");
    const params = keysOf("params");
    shownColumns = columnsOf(metrics, params);
    count.textContent = `${state.runs.length.toLocaleString("en")} runs${state.complete ? "" : " …"}`;
    if (state.runs.length === 0 && state.complete) {
      holder.replaceChildren(
        state.filter === ""
          ? empty(
              "No runs yet",
              "Start a training that logs here:",
              h("code", {}, `cifar train --set mlflow.tracking_uri=${location.origin}`),
              "or with MLflow's own client:",
              h("code", {}, `MLFLOW_TRACKING_URI=${location.origin} python train.py`),
            )
          : empty("No run matches the filter", "Example: metrics.val_accuracy > 0.9 AND tags.note LIKE 'a%'"),
      );
      return;
    }
    showChooser(metrics, params, shownColumns);
    const options = [
      ["", "nothing"],
      ...[...params.keys()]
        .filter((key) => params.get(key).differs)
        .sort()
        .map((key) => [key, key]),
    ];
    if (groups.children.length !== options.length)
      groups.replaceChildren(
        ...options.map(([key, text]) => h("option", { value: key, selected: key === state.group }, text)),
      );
    if (table.element.parentElement !== holder) holder.replaceChildren(table.element);
    table.show({ rows: rowsOf(), columns: shownColumns, order: state.order });
  };

  const rowsOf = () => {
    let runs = state.runs;
    const column = shownColumns.find(({ id }) => id === state.order.id);
    if (
      column !== undefined &&
      (column.id === "duration" || (state.values !== "last" && column.id.startsWith("metrics.")))
    ) {
      const way = state.order.descending ? -1 : 1;
      runs = [...runs].sort((a, b) => {
        const [x, y] = [column.value(a), column.value(b)];
        if (x === undefined || Number.isNaN(x)) return 1;
        if (y === undefined || Number.isNaN(y)) return -1;
        return (x - y) * way;
      });
    }
    if (state.group === "") return runs.map((run) => ({ run }));
    const grouped = Map.groupBy
      ? Map.groupBy(runs, (run) => run.params[state.group] ?? "–")
      : groupBy(runs, (run) => run.params[state.group] ?? "–");
    const metric = shownColumns.find(({ id }) => id.startsWith("metrics."));
    return [...grouped].flatMap(([value, members]) => {
      const values = metric === undefined ? [] : members.map((run) => metric.value(run)).filter(Number.isFinite);
      const mean =
        values.length === 0
          ? ""
          : `, mean ${metric.title} ${number(values.reduce((a, b) => a + b, 0) / values.length)}`;
      return [
        { title: `${state.group} = ${value} (${members.length} runs${mean})` },
        ...members.map((run) => ({ run })),
      ];
    });
  };

  const loadValues = async () => {
    try {
      if (state.values === "min" || state.values === "max")
        state.ranges = await ranges(state.runs.map(({ id: run }) => run));
      if (state.values === "step") {
        const keys = shownColumns.filter(({ id }) => id.startsWith("metrics.")).map(({ title }) => title);
        const ids = state.runs.slice(0, 1000).map(({ id: run }) => run);
        state.atStep = new Map();
        for (const key of keys)
          for (const [run, points] of await histories(ids, key, 1, { start_step: state.step, end_step: state.step }))
            if (points.length > 0) state.atStep.set(`${run} ${key}`, points.at(-1).value);
      }
      show();
    } catch (error) {
      report(error);
    }
  };

  let loading = new AbortController();
  const load = async () => {
    loading.abort();
    loading = new AbortController();
    const mine = loading.signal;
    const order =
      state.order.id === "duration" || state.values !== "last"
        ? "attributes.start_time DESC"
        : `${state.order.id} ${state.order.descending ? "DESC" : "ASC"}`;
    try {
      await searchRuns({
        experiment,
        filter: state.filter,
        order: [order],
        limit: maxRuns,
        signal: mine,
        onPage: (runs, complete) => {
          // The first page at once, the others when all are here: fewer redraws.
          if (!complete && runs.length > 200) return;
          state.runs = [...runs];
          state.complete = complete;
          show();
        },
      });
      if (state.values !== "last" && !mine.aborted) await loadValues();
      document.getElementById("problem").hidden = true;
    } catch (error) {
      if (!mine.aborted) report(error);
    }
  };

  const deleteSelected = async () => {
    if (!confirm(`Delete ${state.selected.length} runs? They can be restored through the API.`)) return;
    for (const run of state.selected) await call("POST", "runs/delete", { run_id: run });
    state.selected = [];
    showActions();
    await load();
  };

  const timer = setInterval(() => {
    const idle = !document.hidden && live.on && !chooser.parentElement.open && state.complete;
    // Thousands of runs that are over change no more: only what is small or runs is read again and again.
    if (idle && (state.runs.length <= 500 || state.runs.some(({ status }) => status === "RUNNING"))) void load();
  }, refreshMs);
  signal.addEventListener("abort", () => {
    clearInterval(timer);
    loading.abort();
  });
  await load();
}

function groupBy(items, keyOf) {
  const groups = new Map();
  for (const item of items) {
    const key = keyOf(item);
    groups.set(key, [...(groups.get(key) ?? []), item]);
  }
  return groups;
}
