import { colourOf } from "./chart.js";
import { empty, h, table } from "./dom.js";
import { duration, number } from "./format.js";
import { bestSoFar, parallelCoordinates } from "./plots.js";

const refreshMs = 3000;
const artifact = (runId, path) => `/get-artifact?${new URLSearchParams({ run_id: runId, path })}`;

/** The trials of a sweep as they are: how they go, the best so far, what matters. */
export function sweepPanel({ runId, signal, report, live }) {
  const place = h("div", { class: "sweep" }, h("p", { class: "muted" }, "Loading…"));
  let shown;
  const load = async () => {
    try {
      const state = await read(runId, "tuning/state.json");
      if (signal.aborted || state.updatedAt === shown) return;
      shown = state.updatedAt;
      const summary = state.finished ? await read(runId, "tuning/summary.json").catch(() => undefined) : undefined;
      if (!signal.aborted) place.replaceChildren(...sections(state, summary?.importance ?? []));
    } catch (error) {
      if (!signal.aborted) report(error);
    }
  };
  void load();
  const timer = setInterval(() => {
    if (!document.hidden && live()) void load();
  }, refreshMs);
  signal.addEventListener("abort", () => clearInterval(timer));
  return place;
}

async function read(runId, path) {
  const response = await fetch(artifact(runId, path));
  if (!response.ok) throw new Error(`${path}: the server answered with status ${response.status}`);
  return response.json();
}

function sections(state, importance) {
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
  const valued = trials.filter(({ value }) => value !== null);
  const named = valued.map((trial) => ({
    ...trial,
    name: `trial ${trial.number}: ${metric} ${number(trial.value)}`,
    colour: best?.trial === trial.number ? "var(--accent)" : colourOf(trial.number),
  }));
  return [
    h("p", {}, facts.join(" · ")),
    best === null ? null : h("p", {}, "Best so far: ", h("strong", {}, `${number(best.value)} (trial ${best.trial})`)),
    h("h2", {}, "Best so far"),
    valued.length === 0
      ? empty("No values yet", "Each trial appears here after its first epoch.")
      : bestSoFar(named, { direction, metric }),
    h("h2", {}, "Parallel coordinates"),
    named.length < 2 ? h("p", { class: "muted" }, "needs two trials") : parallelCoordinates(named, axesOf(state)),
    h("h2", {}, "Importance"),
    importance.length === 0
      ? h("p", { class: "muted" }, state.finished ? "too few trials to tell" : "known when the sweep is over")
      : table(
          ["Parameter", "Share of the variance", ""],
          importance.map(({ parameter, share }) => [
            parameter,
            `${(100 * share).toFixed(1)} %`,
            h("meter", { min: 0, max: 1, value: share, "aria-label": `${parameter}: ${(100 * share).toFixed(1)} %` }),
          ]),
        ),
    h("h2", {}, "Trials"),
    trialTable(state),
  ].filter((part) => part !== null);
}

/** The parameters on the scales on which they are searched, then the metric. */
function axesOf({ space, metric }) {
  const axes = Object.entries(space).map(([name, { domain }]) => {
    const title = name.slice(name.lastIndexOf(".") + 1);
    if (domain.kind === "choice") {
      return {
        title,
        of: ({ params }) => (name in params ? domain.values.indexOf(params[name]) : undefined),
        label: (at) => String(domain.values[Math.round(at)] ?? ""),
      };
    }
    if (domain.scale !== "log") return { title, of: ({ params }) => params[name], label: number };
    return { title, of: ({ params }) => Math.log10(params[name]), label: (at) => number(10 ** at) };
  });
  return [...axes, { title: metric, of: ({ value }) => value, label: number }];
}

function trialTable({ trials, space, metric, best }) {
  const names = Object.keys(space);
  const rows = trials.map((trial) => [
    trial.runId === null
      ? String(trial.number)
      : h("a", { href: `#/runs/${trial.runId}` }, `${trial.number}${best?.trial === trial.number ? " (best)" : ""}`),
    trial.reason ?? trial.status,
    number(trial.value),
    number(trial.reports.at(-1)?.step),
    duration(1000 * trial.seconds),
    ...names.map((name) => (name in trial.params ? show(trial.params[name]) : "")),
  ]);
  const short = names.map((name) => name.slice(name.lastIndexOf(".") + 1));
  return table(["Trial", "State", metric, "Epochs", "Time", ...short], rows, { id: "trials" });
}

const show = (value) => (typeof value === "number" ? number(value) : String(value));
