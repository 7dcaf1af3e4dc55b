// What both servers are asked, in MLflow's REST API.

/** Pages as large as the stock client asks for. */
const HISTORY_PAGE = 25_000;

const CLIENTS = 4;

/** What is searched for, and with which page; the last one reads all runs, page by page. */
export const searches = {
  "the best of all by a metric": { order_by: ["metrics.accuracy DESC"], max_results: 100 },
  "by metric, parameter and tag": {
    filter: "metrics.accuracy > 0.5 AND params.optimizer = 'adamw' AND tags.team LIKE 'team-1%'",
    order_by: ["metrics.accuracy DESC"],
    max_results: 100,
  },
  "all in pages of 1,000": { order_by: ["attributes.start_time ASC"], max_results: 1000, all: true },
};

export function openApi(url) {
  const call = async (method, path, body) => {
    const response = await fetch(`${url}/api/2.0/mlflow/${path}`, {
      method,
      ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${url}: ${path} answered ${response.status}: ${text.slice(0, 300)}`);
    return JSON.parse(text);
  };
  return {
    post: (path, body) => call("POST", path, body),
    get: (path, query) => call("GET", `${path}?${new URLSearchParams(query)}`),
    createRun: async (experimentId, name, startTime = 1) => {
      const body = { experiment_id: experimentId, run_name: name, start_time: startTime };
      return (await call("POST", "runs/create", body)).run.info.run_id;
    },
  };
}

/** @returns seconds for `count` batches of 1,000 points of one metric */
export async function logBatches(api, runId, { first, count }) {
  const began = performance.now();
  for (let batch = first; batch < first + count; batch++) {
    const metrics = Array.from({ length: 1000 }, (_, index) => {
      const step = batch * 1000 + index;
      return { key: "loss", value: 2 / (1 + step / 1000), timestamp: 1_700_000_000_000 + step, step };
    });
    await api.post("runs/log-batch", { run_id: runId, metrics });
  }
  return (performance.now() - began) / 1000;
}

/** @returns seconds, number of points and a sum that tells histories apart */
export async function readHistory(api, runId) {
  const began = performance.now();
  let count = 0;
  let sum = 0;
  let token = "";
  do {
    const query = { run_id: runId, metric_key: "loss", max_results: String(HISTORY_PAGE) };
    const page = await api.get("metrics/get-history", token === "" ? query : { ...query, page_token: token });
    for (const { step } of page.metrics ?? []) sum += step;
    count += page.metrics?.length ?? 0;
    token = page.next_page_token ?? "";
  } while (token !== "");
  return { seconds: (performance.now() - began) / 1000, count, sum };
}

/** Runs of an experiment of their own, by the API, the same on every server. @returns the experiment's id */
export async function fillRuns(api, count) {
  const { experiment_id: experimentId } = await api.post("experiments/create", { name: "search" });
  let next = 0;
  const client = async () => {
    for (let index = next++; index < count; index = next++) {
      const run_id = await api.createRun(experimentId, `run ${index}`, 1_700_000_000_000 + index);
      const at = { timestamp: 1_700_000_000_000 + index, step: 1 };
      // A fixed permutation of 0 to 1, each value once, so that orders are the same everywhere.
      const accuracy = ((index * 7919 + 13) % 1_000_003) / 1_000_003;
      await api.post("runs/log-batch", {
        run_id,
        metrics: [
          { key: "accuracy", value: accuracy, ...at },
          { key: "loss", value: 1 - accuracy, ...at },
          { key: "epoch", value: index % 50, ...at },
        ],
        params: [
          { key: "optimizer", value: ["sgd", "adamw", "muon"][index % 3] },
          { key: "lr", value: String(0.001 * (1 + (index % 10))) },
          { key: "seed", value: String(index) },
        ],
        tags: [{ key: "team", value: `team-${index % 20}` }],
      });
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  return experimentId;
}

/** @returns seconds, and the names of the runs in their order */
export async function searchOnce(api, { all = false, ...body }) {
  const began = performance.now();
  const names = [];
  let token = "";
  do {
    const page = await api.post("runs/search", token === "" ? body : { ...body, page_token: token });
    for (const { info } of page.runs ?? []) names.push(info.run_name);
    token = all ? (page.next_page_token ?? "") : "";
  } while (token !== "");
  return { seconds: (performance.now() - began) / 1000, names };
}
