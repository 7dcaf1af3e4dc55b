import type { Json, RawCaller } from "./raw-caller.ts";

const unknownRun = "f".repeat(32);
const unknownModel = `m-${"f".repeat(32)}`;

export async function loggedModelCalls({ call }: RawCaller): Promise<void> {
  const { run } = await call("a run for models", "POST runs/create", {
    experiment_id: "0",
    run_name: "m",
    start_time: 1,
  });
  const run_id = String(run.info.run_id);
  const made = await call("create a logged model", "POST logged-models", {
    experiment_id: "0",
    name: "net",
    model_type: "classifier",
    source_run_id: run_id,
    params: [{ key: "p", value: "1" }],
    tags: [{ key: "t", value: "1" }],
  });
  const model_id = String(made.model.info.model_id);
  const at = `logged-models/${model_id}`;
  await call("create a logged model without a name", "POST logged-models", { experiment_id: "0" });
  await call("get a logged model", `GET ${at}`);
  await call("finalise a logged model", `PATCH ${at}`, { model_id, status: "LOGGED_MODEL_READY" });
  await call("finalise a logged model by number", `PATCH ${at}`, { model_id, status: 3 });
  await call("tag a logged model", `PATCH ${at}/tags`, { model_id, tags: [{ key: "u", value: "2" }] });
  await call("untag a logged model", `DELETE ${at}/tags/t`);
  await call("untag a logged model again", `DELETE ${at}/tags/t`);
  await call("log parameters of a model", `POST ${at}/params`, { model_id, params: [{ key: "q", value: "2" }] });
  await call("log parameters of a model again", `POST ${at}/params`, { model_id, params: [{ key: "q", value: "2" }] });
  await call("log other parameters of a model", `POST ${at}/params`, { model_id, params: [{ key: "q", value: "3" }] });
  await call("log a metric of a model", "POST runs/log-metric", {
    run_id,
    model_id,
    key: "acc",
    value: 0.5,
    timestamp: 1,
    step: 1,
  });
  await call("log a metric of a model and a data set", "POST runs/log-metric", {
    run_id,
    model_id,
    key: "loss",
    value: 2,
    timestamp: 1,
    step: 1,
    dataset_name: "set",
    dataset_digest: "d",
  });
  await call("log a model as output", "POST runs/outputs", { run_id, models: [{ model_id, step: 1 }] });
  await call("log a model as input", "POST runs/log-inputs", { run_id, models: [{ model_id }] });
  await call("the run of the model", "GET runs/get", { run_id });
  await call("the whole logged model", `GET ${at}`);
  await call("the folder of a logged model", `GET ${at}/artifacts/directories`);
  for (const [step, input] of [
    ["all", { experiment_ids: ["0"], order_by: [{ field_name: "creation_time", ascending: true }] }],
    ["by name", { experiment_ids: ["0"], filter: "name = 'net'" }],
    ["by name LIKE", { experiment_ids: ["0"], filter: "name LIKE 'ne_'" }],
    ["by metric", { experiment_ids: ["0"], filter: "metrics.acc > 0.1" }],
    ["by parameter", { experiment_ids: ["0"], filter: "params.p = '1'" }],
    ["by tag", { experiment_ids: ["0"], filter: "tags.u = '2'" }],
    ["by status", { experiment_ids: ["0"], filter: "status = 'LOGGED_MODEL_UPLOAD_FAILED'" }],
    ["by run", { experiment_ids: ["0"], filter: `source_run_id = '${run_id}'` }],
    ["by type", { experiment_ids: ["0"], filter: "model_type = 'classifier'" }],
    ["by data set", { experiment_ids: ["0"], filter: "metrics.loss > 1", datasets: [{ dataset_name: "set" }] }],
    [
      "by data set and digest",
      {
        experiment_ids: ["0"],
        filter: "metrics.loss > 1",
        datasets: [{ dataset_name: "set", dataset_digest: "d" }],
      },
    ],
    ["by another data set", { experiment_ids: ["0"], filter: "metrics.loss > 1", datasets: [{ dataset_name: "no" }] }],
    [
      "in the order of a metric",
      { experiment_ids: ["0"], order_by: [{ field_name: "metrics.acc", ascending: false }] },
    ],
    ["in no experiment", { experiment_ids: [] }],
    ["in an unknown experiment", { experiment_ids: ["987654"] }],
    ["by nonsense", { experiment_ids: ["0"], filter: "nonsense" }],
    ["by an unknown attribute", { experiment_ids: ["0"], filter: "colour = 'x'" }],
    ["in an unknown order", { experiment_ids: ["0"], order_by: [{ field_name: "colour" }] }],
    ["of negative results", { experiment_ids: ["0"], max_results: -1 }],
    ["of a bad token", { experiment_ids: ["0"], page_token: "evilhax" }],
    ["of a data set without a name", { experiment_ids: ["0"], datasets: [{ dataset_digest: "d" }] }],
  ] as const)
    await call(`search logged models ${step}`, "POST logged-models/search", input);
  const page = await call("the first page of logged models", "POST logged-models/search", {
    experiment_ids: ["0"],
    max_results: 1,
    order_by: [{ field_name: "creation_time" }],
  });
  await call("the second page of logged models", "POST logged-models/search", {
    experiment_ids: ["0"],
    max_results: 1,
    order_by: [{ field_name: "creation_time" }],
    page_token: page.next_page_token,
  });
  for (const [step, line, input] of [
    ["create in an unknown experiment", "POST logged-models", { experiment_id: "987654" }],
    ["create without an experiment", "POST logged-models", {}],
    ["create with a bad name", "POST logged-models", { experiment_id: "0", name: "a/b" }],
    ["create with a number as name", "POST logged-models", { experiment_id: "0", name: 5 }],
    ["create of an unknown run", "POST logged-models", { experiment_id: "0", source_run_id: unknownRun }],
    ["get an unknown one", `GET logged-models/${unknownModel}`, {}],
    [
      "finalise an unknown one",
      `PATCH logged-models/${unknownModel}`,
      { model_id: unknownModel, status: "LOGGED_MODEL_READY" },
    ],
    ["finalise to nothing", `PATCH ${at}`, { model_id }],
    [
      "tag an unknown one",
      `PATCH logged-models/${unknownModel}/tags`,
      { model_id: unknownModel, tags: [{ key: "u", value: "2" }] },
    ],
    ["untag an unknown one", `DELETE logged-models/${unknownModel}/tags/t`, undefined],
    ["delete an unknown one", `DELETE logged-models/${unknownModel}`, undefined],
    [
      "log parameters of an unknown one",
      `POST logged-models/${unknownModel}/params`,
      { model_id: unknownModel, params: [{ key: "q", value: "2" }] },
    ],
    ["an unknown output", "POST runs/outputs", { run_id, models: [{ model_id: unknownModel, step: 1 }] }],
    ["an output of an unknown run", "POST runs/outputs", { run_id: unknownRun, models: [{ model_id, step: 1 }] }],
    ["no outputs", "POST runs/outputs", { run_id }],
    ["outputs that are text", "POST runs/outputs", { run_id, models: "x" }],
  ] as const)
    await call(`logged models: ${step}`, line, input);
  await call("delete a logged model", `DELETE ${at}`);
  await call("get a deleted logged model", `GET ${at}`);
  await call("get a deleted logged model all the same", `GET ${at}`, { allow_deleted: true });
  await call("finalise to an unknown status", `PATCH ${at}`, { model_id, status: "DONE" });
}

export async function artifactCalls({ call, url }: RawCaller): Promise<void> {
  const { run } = await call("a run for artifacts", "POST runs/create", {
    experiment_id: "0",
    run_name: "a",
    start_time: 1,
  });
  const run_id = String(run.info.run_id);
  const folder = `0/${run_id}/artifacts`;
  const file = (path: string) => ({ at: `/api/2.0/mlflow-artifacts/artifacts/${path}` });
  await call("list no artifacts", "GET artifacts/list", { run_id });
  await call("put an artifact", "PUT x", undefined, { ...file(`${folder}/a/b%20c.txt`), raw: "hällo" });
  await call("put another artifact", "PUT x", undefined, { ...file(`${folder}/top.json`), raw: '{"a":1}' });
  await call("put an empty artifact", "PUT x", undefined, { ...file(`${folder}/empty`), raw: "" });
  await call("list artifacts", "GET artifacts/list", { run_id });
  await call("list artifacts of a folder", "GET artifacts/list", { run_id, path: "a" });
  await call("list artifacts of a file", "GET artifacts/list", { run_id, path: "top.json" });
  await call("list artifacts of nothing", "GET artifacts/list", { run_id, path: "none" });
  await call("list artifacts by the proxy", "GET x", { path: folder }, { at: "/api/2.0/mlflow-artifacts/artifacts" });
  await call(
    "list a folder by the proxy",
    "GET x",
    { path: `${folder}/a` },
    { at: "/api/2.0/mlflow-artifacts/artifacts" },
  );
  await call("list nothing by the proxy", "GET x", { path: "none" }, { at: "/api/2.0/mlflow-artifacts/artifacts" });
  await call("get an artifact", "GET x", undefined, file(`${folder}/a/b%20c.txt`));
  await call("get a JSON artifact", "GET x", undefined, file(`${folder}/top.json`));
  await call("get an artifact for pages", "GET x", { run_id, path: "a/b c.txt" }, { at: "/get-artifact" });
  await call("delete an artifact", "DELETE x", undefined, file(`${folder}/top.json`));
  await call("delete an artifact again", "DELETE x", undefined, file(`${folder}/top.json`));
  await call("delete a folder", "DELETE x", undefined, file(`${folder}/a`));
  await call("list what is left", "GET artifacts/list", { run_id });
  for (const [step, path] of [
    ["nothing", `${folder}/none`],
    ["a folder", folder],
    ["a way up", "..%2f..%2fx"],
    ["a way up twice encoded", "..%252f..%252fx"],
    ["an absolute path", "%2Fetc%2Fpasswd"],
  ] as const) {
    await call(`get ${step}`, "GET x", undefined, file(path));
    if (step !== "nothing" && step !== "a folder")
      await call(`put ${step}`, "PUT x", undefined, { ...file(path), raw: "x" });
  }
  for (const [step, input] of [
    ["of an unknown run", { run_id: unknownRun }],
    ["without a run", {}],
    ["of a way up", { run_id, path: "../.." }],
    ["of an absolute path", { run_id, path: "/etc" }],
    ["of a way up, encoded", { run_id, path: "%2e%2e/x" }],
  ] as const)
    await call(`list artifacts ${step}`, "GET artifacts/list", input);
  for (const path of ["../..", "/etc", "..%2f"])
    await call(`list ${path} by the proxy`, "GET x", { path }, { at: "/api/2.0/mlflow-artifacts/artifacts" });

  const mpu = (action: string, path = folder) => ({ at: `/api/2.0/mlflow-artifacts/mpu/${action}/${path}` });
  const begun = await call("begin an upload in parts", "POST x", { path: "large.bin", num_parts: 2 }, mpu("create"));
  const parts: Json[] = [];
  for (const { url: to, part_number } of (begun.credentials ?? []) as Json[]) {
    const response = await fetch(new URL(to, url), { method: "PUT", body: String(part_number).repeat(3) });
    parts.push({ part_number, etag: response.headers.get("etag") ?? "", url: to });
  }
  await call(
    "complete an upload in parts",
    "POST x",
    { path: "large.bin", upload_id: begun.upload_id, parts },
    mpu("complete"),
  );
  await call("get what was uploaded in parts", "GET x", undefined, file(`${folder}/large.bin`));
  const again = await call("begin another upload", "POST x", { path: "other.bin", num_parts: 1 }, mpu("create"));
  await call("abort an upload", "POST x", { path: "other.bin", upload_id: again.upload_id }, mpu("abort"));
  await call("begin an upload without a number", "POST x", { path: "a" }, mpu("create"));
  await call("begin an upload without a path", "POST x", { num_parts: 1 }, mpu("create"));
  await call("begin an upload above", "POST x", { path: "a", num_parts: 1 }, mpu("create", "..%2f.."));
  await call("complete an unknown upload", "POST x", { path: "a", upload_id: "x", parts: [] }, mpu("complete"));
}

export async function serverCalls({ call }: RawCaller): Promise<void> {
  await call("health", "GET x", undefined, { at: "/health" });
  await call("version", "GET x", undefined, { at: "/version" });
  await call("an unknown call", "POST runs/get-nothing", {});
  await call("an unknown path", "GET x", undefined, { at: "/api/2.0/other" });
  await call("a wrong method", "GET runs/create", {});
  const json = { "content-type": "application/json" };
  await call("a body that is no JSON", "POST experiments/create", undefined, { raw: "{", headers: json });
  await call("a body that is a list", "POST experiments/create", []);
  await call("a body that is a number", "POST experiments/create", 5);
  await call("a body that is JSON in JSON", "POST experiments/create", JSON.stringify({ name: "in text" }));
  await call("a body without a type", "POST experiments/create", undefined, { raw: '{"name":"untyped"}' });
  await call("a body in camel case", "POST experiments/set-experiment-tag", {
    experimentId: "0",
    key: "c",
    value: "v",
  });
  await call("a body with null", "POST runs/create", {
    experiment_id: "0",
    run_name: "null",
    start_time: 3,
    user_id: null,
  });
  await call("a body with an unknown field", "POST experiments/create", { name: "unknown field", colour: "red" });
  await call("no body", "POST experiments/create");
}
