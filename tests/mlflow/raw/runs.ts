import type { Json, RawCaller } from "./raw-caller.ts";

const unknownRun = "f".repeat(32);

export async function runCalls({ call }: RawCaller): Promise<void> {
  const made = await call("create a run", "POST runs/create", {
    experiment_id: "0",
    user_id: "ada",
    run_name: "first",
    start_time: 5,
    tags: [{ key: "t", value: "1" }],
  });
  const run_id = String(made.run.info.run_id);
  await call("create a run without a name", "POST runs/create", { experiment_id: "0", start_time: "6" });
  await call("create a run whose tag has the name", "POST runs/create", {
    experiment_id: "0",
    start_time: 7,
    tags: [
      { key: "mlflow.runName", value: "by tag" },
      { key: "mlflow.user", value: "eve" },
    ],
  });
  await call("create a run with two names", "POST runs/create", {
    experiment_id: "0",
    start_time: 7,
    run_name: "one",
    tags: [{ key: "mlflow.runName", value: "two" }],
  });
  await call("create a nested run", "POST runs/create", {
    experiment_id: "0",
    run_name: "child",
    start_time: 8,
    tags: [{ key: "mlflow.parentRunId", value: run_id }],
  });
  await call("get a run", "GET runs/get", { run_id });
  await call("get a run by the old word", "GET runs/get", { run_uuid: run_id });
  await call("update a run", "POST runs/update", { run_id, status: "FINISHED", end_time: 99, run_name: "second" });
  await call("update a run by number", "POST runs/update", { run_id, status: 4 });
  await call("get the updated run", "GET runs/get", { run_id });
  await call("rename by tag", "POST runs/set-tag", { run_id, key: "mlflow.runName", value: "third" });
  await call("get the renamed run", "GET runs/get", { run_id });
  await call("delete a run", "POST runs/delete", { run_id });
  await call("get a deleted run", "GET runs/get", { run_id });
  await call("log to a deleted run", "POST runs/log-metric", { run_id, key: "m", value: 1, timestamp: 1 });
  await call("log a parameter to a deleted run", "POST runs/log-parameter", { run_id, key: "m", value: "1" });
  await call("tag a deleted run", "POST runs/set-tag", { run_id, key: "m", value: "1" });
  await call("update a deleted run", "POST runs/update", { run_id, status: "FAILED" });
  await call("delete a run again", "POST runs/delete", { run_id });
  await call("restore a run", "POST runs/restore", { run_id });
  await call("restore a run again", "POST runs/restore", { run_id });

  await call("log a metric", "POST runs/log-metric", { run_id, key: "m", value: 0.1, timestamp: 1, step: 2 });
  await call("log a metric without a step", "POST runs/log-metric", { run_id, key: "n", value: 3, timestamp: "4" });
  for (const value of ["NaN", "Infinity", "-Infinity", "1e3"])
    await call(`log ${value}`, "POST runs/log-metric", { run_id, key: `v/${value}`, value, timestamp: 1, step: -3 });
  await call("log a metric with its data set", "POST runs/log-metric", {
    run_id,
    key: "with data",
    value: 1,
    timestamp: 1,
    step: 1,
    dataset_name: "cifar10",
    dataset_digest: "d",
  });
  await call("log a parameter", "POST runs/log-parameter", { run_id, key: "p", value: "1" });
  await call("log a parameter again", "POST runs/log-parameter", { run_id, key: "p", value: "1" });
  await call("log another value", "POST runs/log-parameter", { run_id, key: "p", value: "2" });
  await call("log an empty parameter", "POST runs/log-parameter", { run_id, key: "empty", value: "" });
  await call("log a batch", "POST runs/log-batch", {
    run_id,
    metrics: Array.from({ length: 5 }, (_, step) => ({ key: "b", value: step / 8, timestamp: step, step })),
    params: [{ key: "ü", value: "ß" }],
    tags: [{ key: "batch", value: "yes" }],
  });
  await call("log the batch again", "POST runs/log-batch", {
    run_id,
    metrics: [{ key: "b", value: 0, timestamp: 0, step: 0 }],
    params: [{ key: "ü", value: "ß" }],
    tags: [{ key: "batch", value: "again" }],
  });
  await call("log an empty batch", "POST runs/log-batch", { run_id });
  await call("set a tag", "POST runs/set-tag", { run_id, key: "gone", value: "soon" });
  await call("delete a tag", "POST runs/delete-tag", { run_id, key: "gone" });
  await call("delete a tag again", "POST runs/delete-tag", { run_id, key: "gone" });
  await call("log inputs", "POST runs/log-inputs", {
    run_id,
    datasets: [
      {
        tags: [{ key: "mlflow.data.context", value: "training" }],
        dataset: { name: "cifar10", digest: "d1", source_type: "local", source: "{}", schema: "{}", profile: "{}" },
      },
      { dataset: { name: "bare", digest: "d2", source_type: "local", source: "x" } },
    ],
  });
  await call(
    "search data sets",
    "POST experiments/search-datasets",
    { experiment_ids: ["0"] },
    {
      at: "/ajax-api/2.0/mlflow/experiments/search-datasets",
    },
  );
  await call("log a model", "POST runs/log-model", {
    run_id,
    model_json: JSON.stringify({ artifact_path: "model", flavors: {}, utc_time_created: "now", run_id }),
  });
  await call("get the full run", "GET runs/get", { run_id });

  for (const [step, line, input] of [
    ["create in an unknown experiment", "POST runs/create", { experiment_id: "987654" }],
    ["create with a word for a time", "POST runs/create", { experiment_id: "0", start_time: "noon" }],
    ["create with a fraction for a time", "POST runs/create", { experiment_id: "0", start_time: 1.5 }],
    ["create with a number for the name", "POST runs/create", { experiment_id: "0", run_name: 5 }],
    ["create with a number for a tag", "POST runs/create", { experiment_id: "0", tags: [{ key: 1, value: 2 }] }],
    ["create with a tag without a key", "POST runs/create", { experiment_id: "0", tags: [{ value: "2" }] }],
    ["get without an id", "GET runs/get", {}],
    ["get an unknown one", "GET runs/get", { run_id: unknownRun }],
    ["get with a bad id", "GET runs/get", { run_id: "../x" }],
    ["update an unknown one", "POST runs/update", { run_id: unknownRun, status: "FAILED" }],
    ["update without an id", "POST runs/update", { status: "FAILED" }],
    ["update to an unknown status", "POST runs/update", { run_id, status: "DONE" }],
    ["update nothing", "POST runs/update", { run_id }],
    ["delete an unknown one", "POST runs/delete", { run_id: unknownRun }],
    ["delete without an id", "POST runs/delete", {}],
    ["restore an unknown one", "POST runs/restore", { run_id: unknownRun }],
    ["log a metric without a key", "POST runs/log-metric", { run_id, value: 1, timestamp: 1 }],
    ["log a metric without a value", "POST runs/log-metric", { run_id, key: "m", timestamp: 1 }],
    ["log a metric without a time", "POST runs/log-metric", { run_id, key: "m", value: 1 }],
    ["log a word as a metric", "POST runs/log-metric", { run_id, key: "m", value: "high", timestamp: 1 }],
    [
      "log a metric with a word as step",
      "POST runs/log-metric",
      { run_id, key: "m", value: 1, timestamp: 1, step: "x" },
    ],
    ["log a metric at a negative time", "POST runs/log-metric", { run_id, key: "m", value: 1, timestamp: -1 }],
    ["log a metric with a bad key", "POST runs/log-metric", { run_id, key: "a*b", value: 1, timestamp: 1 }],
    ["log a metric with a way up as key", "POST runs/log-metric", { run_id, key: "../b", value: 1, timestamp: 1 }],
    ["log a metric with a long key", "POST runs/log-metric", { run_id, key: "k".repeat(251), value: 1, timestamp: 1 }],
    [
      "log a metric to an unknown one",
      "POST runs/log-metric",
      { run_id: unknownRun, key: "m", value: 1, timestamp: 1 },
    ],
    ["log a long parameter", "POST runs/log-parameter", { run_id, key: "long", value: "x".repeat(6001) }],
    ["log a parameter without a key", "POST runs/log-parameter", { run_id, value: "x" }],
    ["log a parameter with a bad key", "POST runs/log-parameter", { run_id, key: "a?b", value: "x" }],
    ["log a number as a parameter", "POST runs/log-parameter", { run_id, key: "number", value: 5 }],
    ["log a parameter to an unknown one", "POST runs/log-parameter", { run_id: unknownRun, key: "m", value: "1" }],
    ["log a batch without an id", "POST runs/log-batch", {}],
    ["log a batch to an unknown one", "POST runs/log-batch", { run_id: unknownRun, tags: [{ key: "a", value: "b" }] }],
    ["log a batch of text", "POST runs/log-batch", { run_id, metrics: "x" }],
    ["log a batch of a list in a list", "POST runs/log-batch", { run_id, metrics: [[]] }],
    [
      "log a batch with a metric without a value",
      "POST runs/log-batch",
      { run_id, metrics: [{ key: "m", timestamp: 1 }] },
    ],
    [
      "log a batch with two values of a parameter",
      "POST runs/log-batch",
      {
        run_id,
        params: [
          { key: "twice", value: "1" },
          { key: "twice", value: "2" },
        ],
      },
    ],
    ["log a batch with a parameter that is set", "POST runs/log-batch", { run_id, params: [{ key: "p", value: "9" }] }],
    ["log a batch of 1,001 metrics", "POST runs/log-batch", { run_id, metrics: many(1001) }],
    ["log a batch of 101 parameters", "POST runs/log-batch", { run_id, params: texts(101) }],
    ["log a batch of 101 tags", "POST runs/log-batch", { run_id, tags: texts(101) }],
    ["log a batch of 1,001 in all", "POST runs/log-batch", { run_id, metrics: many(950), tags: texts(51) }],
    ["set a tag without a key", "POST runs/set-tag", { run_id, value: "x" }],
    ["set a long tag", "POST runs/set-tag", { run_id, key: "long", value: "x".repeat(8001) }],
    ["set a tag of an unknown one", "POST runs/set-tag", { run_id: unknownRun, key: "k", value: "x" }],
    ["delete a tag of an unknown one", "POST runs/delete-tag", { run_id: unknownRun, key: "k" }],
    ["log inputs without an id", "POST runs/log-inputs", {}],
    ["log inputs to an unknown one", "POST runs/log-inputs", { run_id: unknownRun, datasets: [dataset({})] }],
    ["log inputs without a name", "POST runs/log-inputs", { run_id, datasets: [dataset({ name: "" })] }],
    ["log inputs with a long name", "POST runs/log-inputs", { run_id, datasets: [dataset({ name: "x".repeat(501) })] }],
    ["log inputs of text", "POST runs/log-inputs", { run_id, datasets: "x" }],
    ["log a model without JSON", "POST runs/log-model", { run_id, model_json: "{" }],
    ["log a model without fields", "POST runs/log-model", { run_id, model_json: "{}" }],
    ["log a model without anything", "POST runs/log-model", { run_id }],
    ["search data sets of nothing", "POST experiments/search-datasets", { experiment_ids: [] }],
  ] as const)
    await call(
      `runs: ${step}`,
      line,
      input,
      line.includes("search-datasets") ? { at: `/ajax-api/2.0/mlflow/experiments/search-datasets` } : {},
    );
}

function many(count: number): Json {
  return Array.from({ length: count }, (_, step) => ({ key: "many", value: step, timestamp: 1, step }));
}
function texts(count: number): Json {
  return Array.from({ length: count }, (_, index) => ({ key: `text ${index}`, value: "x" }));
}
function dataset(changes: Json): Json {
  return { dataset: { name: "n", digest: "d", source_type: "local", source: "s", ...changes } };
}
