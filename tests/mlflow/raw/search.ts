import type { RawCaller } from "./raw-caller.ts";

const unknownRun = "f".repeat(32);

export async function searchCalls({ call }: RawCaller): Promise<void> {
  const { experiment_id } = await call("an experiment to search in", "POST experiments/create", { name: "search" });
  for (const [index, value] of [0.5, 2, "NaN", "Infinity", undefined].entries()) {
    const { run } = await call(`run ${index} to search for`, "POST runs/create", {
      experiment_id,
      run_name: `run ${index}`,
      start_time: 10 + index,
    });
    await call(`content of run ${index}`, "POST runs/log-batch", {
      run_id: run.info.run_id,
      metrics: value === undefined ? [] : [{ key: "m", value, timestamp: 1, step: 1 }],
      params: [{ key: "lr", value: `0.${index}` }],
      tags: [{ key: "Kind", value: index % 2 === 0 ? "Even" : "Odd" }],
    });
    if (index === 0)
      await call("inputs of run 0", "POST runs/log-inputs", {
        run_id: run.info.run_id,
        datasets: [
          {
            dataset: { name: "set", digest: "d", source_type: "local", source: "s" },
            tags: [{ key: "mlflow.data.context", value: "train" }],
          },
        ],
      });
  }
  for (const filter of [
    "",
    "metrics.m > 1",
    "metrics.m >= 0.5 and metrics.m != 2",
    "metrics.m < 1e3",
    "metrics.m = 2.0",
    "metric.m <= 2",
    "metrics.`m` > -1",
    'params."lr" = "0.1"',
    "params.lr = '0.1'",
    "params.lr != '0.1'",
    "params.lr LIKE '0.%'",
    "params.lr ILIKE '%2'",
    "parameter.lr = '0.3'",
    "tags.Kind = 'Even'",
    "tags.Kind LIKE 'e%'",
    "tags.Kind ILIKE 'e%'",
    "tag.Kind != 'Even'",
    "tags.none IS NULL",
    "tags.Kind IS NOT NULL",
    "params.none IS NULL",
    "attributes.status = 'RUNNING'",
    "status != 'RUNNING'",
    "attributes.start_time > 11",
    "start_time <= 12 AND start_time >= 11",
    "run_name = 'run 1'",
    "attributes.run_name LIKE 'run %'",
    "attributes.`run name` = 'run 2'",
    "run_name IN ('run 1', 'run 3')",
    "attributes.run_id IN ('a', 'b')",
    "attributes.run_id NOT IN ('a')",
    "user_id = ''",
    "artifact_uri LIKE '%artifacts'",
    "end_time > 5",
    "dataset.name = 'set'",
    "datasets.digest = 'd'",
    "dataset.context = 'train'",
    "dataset.name LIKE 's%' AND metrics.m < 1",
    "dataset.name IN ('set')",
    "tags.mlflow.runName = 'run 1'",
    "metrics.m > 1 AND params.lr = '0.1' AND tags.Kind = 'Odd' AND status = 'RUNNING'",
    // Wrong ones.
    "metrics.m > 'a'",
    "metrics.m LIKE '1'",
    "metrics.m > 1 OR metrics.m < 0",
    "params.lr > '1'",
    "params.lr = 1",
    "tags.Kind = Even",
    "metrics.m >",
    "m > 1",
    "colour.m > 1",
    "attributes.colour = 'red'",
    "attributes.start_time > 'x'",
    "attributes.start_time LIKE '1'",
    "status > 'RUNNING'",
    "run_name IN 'run 1'",
    "params.lr IN ('0.1')",
    "metrics.m IS NULL",
    "(metrics.m > 1)",
    "NOT metrics.m > 1",
    "dataset.colour = 'x'",
    "dataset.name > 'x'",
    "'unfinished",
    "metrics.m > 1;",
    "params.lr = ''",
    "lifecycle_stage = 'active'",
  ])
    await call(`search runs by ${filter}`, "POST runs/search", {
      experiment_ids: [experiment_id],
      filter,
      order_by: ["start_time ASC"],
    });
  for (const order of [
    "metrics.m ASC",
    "metrics.m DESC",
    "metrics.m",
    "params.lr DESC",
    "tags.Kind",
    "attributes.start_time desc",
    "start_time",
    "attributes.status",
    "run_name DESC",
    "metrics.none ASC",
    "end_time ASC",
    "colour ASC",
    "metrics.m SIDEWAYS",
    "dataset.name ASC",
    "",
  ])
    await call(`search runs in the order of ${order}`, "POST runs/search", {
      experiment_ids: [experiment_id],
      order_by: [order, ...(order === "tags.Kind" || order === "metrics.none ASC" ? ["start_time ASC"] : [])],
    });
  const first = await call("the first page of runs", "POST runs/search", {
    experiment_ids: [experiment_id],
    max_results: 2,
    order_by: ["start_time ASC"],
  });
  const second = await call("the second page of runs", "POST runs/search", {
    experiment_ids: [experiment_id],
    max_results: 2,
    order_by: ["start_time ASC"],
    page_token: first.next_page_token,
  });
  await call("the last page of runs", "POST runs/search", {
    experiment_ids: [experiment_id],
    max_results: 2,
    order_by: ["start_time ASC"],
    page_token: second.next_page_token,
  });
  for (const [step, input] of [
    ["in no experiment", {}],
    ["in an unknown experiment", { experiment_ids: ["987654"] }],
    ["in an experiment that is a word", { experiment_ids: ["abc"] }],
    ["in a text for experiments", { experiment_ids: "0" }],
    ["of an unknown view", { experiment_ids: [experiment_id], run_view_type: "SOME" }],
    ["of deleted ones", { experiment_ids: [experiment_id], run_view_type: "DELETED_ONLY" }],
    ["of no results", { experiment_ids: [experiment_id], max_results: 0 }],
    ["of negative results", { experiment_ids: [experiment_id], max_results: -1 }],
    ["of too many results", { experiment_ids: [experiment_id], max_results: 50_001 }],
    ["of words for a number", { experiment_ids: [experiment_id], max_results: "x" }],
    ["of a bad token", { experiment_ids: [experiment_id], page_token: "evilhax" }],
    ["of a number for a filter", { experiment_ids: [experiment_id], filter: 5 }],
  ] as const)
    await call(`search runs ${step}`, "POST runs/search", input);
}

export async function historyCalls({ call }: RawCaller): Promise<void> {
  const newRun = async (run_name: string): Promise<string> =>
    String(
      (await call(`create ${run_name}`, "POST runs/create", { experiment_id: "0", run_name, start_time: 2 })).run.info
        .run_id,
    );
  const run_id = await newRun("a run without a history");
  const child = await newRun("a run with a history");
  await call("log what is not finite", "POST runs/log-metric", { run_id, key: "v/NaN", value: "NaN", timestamp: 1 });
  await call("log for the history", "POST runs/log-batch", {
    run_id: child,
    metrics: Array.from({ length: 30 }, (_, step) => ({ key: "h", value: step ** 2, timestamp: 100 + step, step })),
  });
  await call("get a history", "GET metrics/get-history", { run_id: child, metric_key: "h" });
  await call("get a history by the old word", "GET metrics/get-history", { run_uuid: child, metric_key: "h" });
  const page = await call("the first page of a history", "GET metrics/get-history", {
    run_id: child,
    metric_key: "h",
    max_results: 20,
  });
  await call("the second page of a history", "GET metrics/get-history", {
    run_id: child,
    metric_key: "h",
    max_results: 20,
    page_token: page.next_page_token,
  });
  await call("get the history of a metric that is not finite", "GET metrics/get-history", {
    run_id,
    metric_key: "v/NaN",
  });
  for (const [step, input] of [
    ["of an unknown metric", { run_id: child, metric_key: "none" }],
    ["of an unknown run", { run_id: unknownRun, metric_key: "h" }],
    ["without a key", { run_id: child }],
    ["without a run", { metric_key: "h" }],
    ["of no results", { run_id: child, metric_key: "h", max_results: 0 }],
    ["of words", { run_id: child, metric_key: "h", max_results: "x" }],
    ["of a bad token", { run_id: child, metric_key: "h", page_token: "evilhax", max_results: 2 }],
  ] as const)
    await call(`get a history ${step}`, "GET metrics/get-history", input);
  const bulk = (path: string) => ({ at: `/ajax-api/2.0/mlflow/metrics/${path}` });
  const ids = [run_id, child];
  for (const [step, input] of [
    ["of two", { run_id: ids, metric_key: "h" }],
    ["with a limit", { run_id: ids, metric_key: "h", max_results: 3 }],
    ["of none", { metric_key: "h" }],
    ["without a key", { run_id: ids }],
    ["of an unknown run", { run_id: unknownRun, metric_key: "h" }],
    ["of 101 runs", { run_id: Array.from({ length: 101 }, () => run_id), metric_key: "h" }],
    ["with a word for the limit", { run_id: ids, metric_key: "h", max_results: "x" }],
  ] as const)
    await call(`histories in bulk ${step}`, "GET x", input, bulk("get-history-bulk"));
  for (const [step, input] of [
    ["of two", { run_ids: ids, metric_key: "h", max_results: 10 }],
    ["of all points", { run_ids: ids, metric_key: "h" }],
    ["of some steps", { run_ids: ids, metric_key: "h", start_step: 5, end_step: 12 }],
    ["of few of some steps", { run_ids: ids, metric_key: "h", start_step: 5, end_step: 25, max_results: 4 }],
    ["of an unknown metric", { run_ids: ids, metric_key: "none" }],
    ["with a start alone", { run_ids: ids, metric_key: "h", start_step: 5 }],
    ["with an end before the start", { run_ids: ids, metric_key: "h", start_step: 5, end_step: 2 }],
    ["of none", { metric_key: "h" }],
    ["without a key", { run_ids: ids }],
    ["of an unknown run", { run_ids: unknownRun, metric_key: "h" }],
    ["of 101 runs", { run_ids: Array.from({ length: 101 }, () => run_id), metric_key: "h" }],
    ["of too many points", { run_ids: ids, metric_key: "h", max_results: 2501 }],
    ["of no points", { run_ids: ids, metric_key: "h", max_results: 0 }],
    ["of words", { run_ids: ids, metric_key: "h", max_results: "x" }],
  ] as const) {
    await call(`histories by intervals ${step}`, "GET metrics/get-history-bulk-interval", input);
  }
  await call(
    "histories by intervals for pages",
    "GET x",
    { run_ids: ids, metric_key: "h", max_results: 10 },
    bulk("get-history-bulk-interval"),
  );
}
