import { call, ranges, toRun } from "./api.js";
import { artifactBrowser } from "./artifact-browser.js";
import { colourOf } from "./chart.js";
import { chartWall } from "./chart-wall.js";
import { empty, h, table } from "./dom.js";
import { duration, number, time } from "./format.js";
import { sweepPanel } from "./sweep-panel.js";

/** One run: what it was given, what it reached, its curves and files. */
export async function runView({ place, id, query, signal, report }) {
  const load = async () => toRun((await call("GET", "runs/get", { run_id: id })).run);
  let run = await load();
  const { experiment } = await call("GET", "experiments/get", { experiment_id: run.experiment });
  const title = h("h1", {}, run.name);
  const facts = h("p", { class: "muted" });
  const body = h("div");
  const panels = {
    overview: () => overview(run),
    sweep: () => sweepPanel({ runId: id, signal: controller.signal, report, live: () => run.status === "RUNNING" }),
    metrics: () => charts(Object.keys(run.metrics).filter((key) => !key.startsWith("system/"))),
    system: () => charts(Object.keys(run.metrics).filter((key) => key.startsWith("system/"))),
    artifacts: () => artifactBrowser({ runId: id, signal, report }),
  };
  const isSweep = await hasSweep(id);
  const names = {
    overview: "Overview",
    ...(isSweep ? { sweep: "Sweep" } : {}),
    metrics: "Metrics",
    system: "System",
    artifacts: "Artifacts",
  };
  let wall;
  let controller = new AbortController();
  const charts = (keys) => {
    if (keys.length === 0) return empty("No metrics", "They appear here while the run logs them.");
    wall = chartWall({
      keys: keys.sort(),
      curves: [{ id, name: run.name, colour: colourOf(0) }],
      signal: controller.signal,
      report,
      live: () => run.status === "RUNNING",
    });
    return wall.element;
  };
  const tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "Parts of the run" });
  const open = (name) => {
    controller.abort();
    controller = new AbortController();
    wall = undefined;
    for (const tab of tabs.children) {
      tab.setAttribute("aria-selected", String(tab.dataset.name === name));
      tab.tabIndex = tab.dataset.name === name ? 0 : -1;
    }
    body.replaceChildren(panels[name]());
    history.replaceState(null, "", `#/runs/${id}?tab=${name}`);
  };
  for (const [name, label] of Object.entries(names))
    tabs.append(
      h(
        "button",
        {
          type: "button",
          role: "tab",
          "data-name": name,
          onclick: () => open(name),
          onkeydown: (event) => {
            const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
            if (way === undefined) return;
            const all = [...tabs.children];
            const next = all[(all.indexOf(event.target) + way + all.length) % all.length];
            next.focus();
            open(next.dataset.name);
          },
        },
        label,
      ),
    );
  const describe = () => {
    facts.replaceChildren(
      h("span", { class: `status ${run.status}` }, run.status.toLowerCase()),
      ` · started ${time(run.start)} · ${duration((run.end ?? Date.now()) - run.start)} · by ${run.user || "unknown"} · `,
      h("a", { href: `#/experiments/${run.experiment}` }, experiment.name),
      " · ",
      h(
        "a",
        { href: `#/experiments/${run.experiment}?filter=${encodeURIComponent(`tags.mlflow.parentRunId = '${id}'`)}` },
        "child runs",
      ),
      ...(run.tags["mlflow.parentRunId"]
        ? [" · ", h("a", { href: `#/runs/${run.tags["mlflow.parentRunId"]}` }, "parent run")]
        : []),
    );
  };
  place.append(title, facts, tabs, body);
  describe();
  open(query.get("tab") in names ? query.get("tab") : "overview");
  const timer = setInterval(async () => {
    if (document.hidden || run.status !== "RUNNING") return;
    try {
      run = await load();
      describe();
      const isSystem = tabs.querySelector('[aria-selected="true"]').dataset.name === "system";
      for (const key of Object.keys(run.metrics)) if (key.startsWith("system/") === isSystem) wall?.add(key);
    } catch (error) {
      if (!signal.aborted) report(error);
    }
  }, 3000);
  signal.addEventListener("abort", () => {
    clearInterval(timer);
    controller.abort();
  });
}

async function hasSweep(id) {
  const { files = [] } = await call("GET", "artifacts/list", { run_id: id, path: "tuning" }).catch(() => ({}));
  return files.some(({ path }) => path === "tuning/state.json");
}

function overview(run) {
  const metrics = h("div");
  const show = (found) => {
    const rows = Object.entries(run.metrics)
      .filter(([key]) => !key.startsWith("system/"))
      .sort()
      .map(([key, value]) => {
        const range = found.get(`${run.id} ${key}`);
        return [key, number(value), number(range?.min), number(range?.max)];
      });
    metrics.replaceChildren(
      rows.length === 0
        ? empty("No metrics yet", "They appear when the run logs them.")
        : table(["Metric", "Last", "Smallest", "Largest"], rows),
    );
  };
  show(new Map());
  ranges([run.id]).then(show, () => {});
  const entries = (record) => Object.entries(record).sort();
  return h(
    "div",
    { class: "columns" },
    h(
      "section",
      {},
      h("h2", {}, "Metrics"),
      metrics,
      h("h2", {}, "Datasets"),
      run.datasets.length === 0
        ? h("p", { class: "muted" }, "none logged")
        : table(
            ["Name", "Digest", "Use"],
            run.datasets.map(({ dataset, tags = [] }) => [
              dataset.name,
              dataset.digest,
              tags.find(({ key }) => key === "mlflow.data.context")?.value ?? "",
            ]),
          ),
      h("h2", {}, "Tags"),
      table(["Tag", "Value"], [["run id", run.id], ...entries(run.tags)]),
    ),
    h(
      "section",
      {},
      h("h2", {}, "Params"),
      entries(run.params).length === 0
        ? h("p", { class: "muted" }, "none logged")
        : table(["Param", "Value"], entries(run.params)),
    ),
  );
}
