import { toNumber } from "./format.js";

const base = "/ajax-api/2.0/mlflow/";

/** Calls the API; an error tells what the server says. */
export async function call(method, path, input = {}) {
  const query = new URLSearchParams();
  if (method === "GET")
    for (const [key, value] of Object.entries(input))
      for (const item of Array.isArray(value) ? value : [value]) if (item !== undefined) query.append(key, item);
  const suffix = query.size > 0 ? `?${query}` : "";
  const response = await fetch(`${base}${path}${suffix}`, {
    method,
    ...(method === "GET" ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(input) }),
  });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.message ?? `the server answered with status ${response.status}`);
  return body;
}

export async function experiments() {
  const { experiments: found = [] } = await call("POST", "experiments/search", { max_results: 1000 });
  return found;
}

/** A run in the form that the page works with: values by key. */
export function toRun({ info, data = {}, inputs = {} }) {
  const byKey = (items = [], value = (item) => item.value) =>
    Object.fromEntries(items.map((item) => [item.key, value(item)]));
  return {
    id: info.run_id,
    name: info.run_name,
    status: info.status,
    start: info.start_time,
    end: info.end_time,
    experiment: info.experiment_id,
    user: info.user_id,
    metrics: byKey(data.metrics, ({ value }) => toNumber(value)),
    params: byKey(data.params),
    tags: byKey(data.tags),
    datasets: inputs.dataset_inputs ?? [],
  };
}

/** Runs page by page, `onPage` with all of them so far. */
export async function searchRuns({ experiment, filter, order, limit, onPage, signal }) {
  const runs = [];
  let token;
  do {
    const page = await call("POST", "runs/search", {
      experiment_ids: [experiment],
      filter,
      order_by: order,
      max_results: runs.length === 0 ? 200 : 2000,
      page_token: token,
    });
    if (signal.aborted) return runs;
    for (const run of page.runs ?? []) runs.push(toRun(run));
    token = page.next_page_token;
    onPage?.(runs, token === undefined);
  } while (token !== undefined && runs.length < limit);
  return runs;
}

/** Points of a metric of several runs, by run. */
export async function histories(runIds, key, maxResults = 1000, steps = {}) {
  const found = new Map(runIds.map((id) => [id, []]));
  for (let start = 0; start < runIds.length; start += 100) {
    const { metrics = [] } = await call("GET", "metrics/get-history-bulk-interval", {
      run_ids: runIds.slice(start, start + 100),
      metric_key: key,
      max_results: maxResults,
      ...steps,
    });
    for (const { run_id, step = 0, timestamp, value } of metrics)
      found.get(run_id)?.push({ step, timestamp, value: toNumber(value) });
  }
  return found;
}

export async function ranges(runIds) {
  const found = new Map();
  for (let start = 0; start < runIds.length; start += 1000) {
    const { ranges: part } = await call("POST", "metrics/get-ranges", { run_ids: runIds.slice(start, start + 1000) });
    for (const { run_id, key, min, max } of part) found.set(`${run_id} ${key}`, { min, max });
  }
  return found;
}
