import type { ApiRoute } from "../../src/tracking/server/route.ts";

export type Body = Readonly<Record<string, unknown>>;
export interface Valid {
  readonly line: `${ApiRoute["method"]} ${string}`;
  readonly body: Body;
}

export interface Known {
  readonly run: string;
  readonly model: string;
}

/** A request that each route takes, with every field that it knows: what the hostile ones are made of. */
export function validRequests({ run, model }: Known): readonly Valid[] {
  const tag = { key: "k", value: "v" };
  const metric = {
    ...{ key: "m", value: 1, timestamp: 1, step: 1 },
    ...{ model_id: model, dataset_name: "d", dataset_digest: "1" },
  };
  const page = { filter: "", max_results: 5, order_by: ["name ASC"], page_token: "" };
  const dataset = { name: "d", digest: "1", source_type: "local", source: "s", schema: "{}", profile: "{}" };
  const version = { name: "net", version: "1" };
  const at = `logged-models/${model}`;
  return [
    { line: "POST experiments/create", body: { name: "e", artifact_location: "mlflow-artifacts:/e", tags: [tag] } },
    { line: "POST experiments/search", body: { ...page, view_type: "ALL" } },
    { line: "GET experiments/search", body: { ...page, view_type: "ALL" } },
    { line: "GET experiments/get", body: { experiment_id: "0" } },
    { line: "GET experiments/get-by-name", body: { experiment_name: "Default" } },
    { line: "POST experiments/delete", body: { experiment_id: "9" } },
    { line: "POST experiments/restore", body: { experiment_id: "9" } },
    { line: "POST experiments/update", body: { experiment_id: "0", new_name: "Default" } },
    { line: "POST experiments/set-experiment-tag", body: { experiment_id: "0", ...tag } },
    { line: "POST experiments/delete-experiment-tag", body: { experiment_id: "0", key: "k" } },
    { line: "POST experiments/search-datasets", body: { experiment_ids: ["0"] } },
    {
      line: "POST runs/create",
      body: { experiment_id: "0", user_id: "u", run_name: "r", start_time: 1, tags: [tag] },
    },
    { line: "GET runs/get", body: { run_id: run } },
    { line: "POST runs/update", body: { run_id: run, status: "RUNNING", end_time: 5, run_name: "r" } },
    { line: "POST runs/delete", body: { run_id: "x" } },
    { line: "POST runs/restore", body: { run_id: run } },
    {
      line: "POST runs/search",
      body: { ...page, order_by: ["start_time"], experiment_ids: ["0"], run_view_type: "ALL" },
    },
    { line: "POST runs/log-metric", body: { run_id: run, ...metric } },
    { line: "POST runs/log-parameter", body: { run_id: run, ...tag } },
    { line: "POST runs/log-batch", body: { run_id: run, metrics: [metric], params: [tag], tags: [tag] } },
    { line: "POST runs/set-tag", body: { run_id: run, ...tag } },
    { line: "POST runs/delete-tag", body: { run_id: run, key: "k" } },
    {
      line: "POST runs/log-model",
      body: { run_id: run, model_json: '{"artifact_path":"a","flavors":{},"utc_time_created":"t","run_id":"r"}' },
    },
    {
      line: "POST runs/log-inputs",
      body: { run_id: run, datasets: [{ tags: [tag], dataset }], models: [{ model_id: model }] },
    },
    { line: "POST runs/outputs", body: { run_id: run, models: [{ model_id: model, step: 1 }] } },
    { line: "GET artifacts/list", body: { run_id: run, path: "a", page_token: "" } },
    { line: "GET metrics/get-history", body: { run_id: run, metric_key: "m", max_results: 5, page_token: "" } },
    { line: "GET metrics/get-history-bulk", body: { run_id: [run], metric_key: "m", max_results: 5 } },
    {
      line: "GET metrics/get-history-bulk-interval",
      body: { run_ids: [run], metric_key: "m", start_step: 0, end_step: 5, max_results: 5 },
    },
    { line: "POST metrics/get-ranges", body: { run_ids: [run] } },
    {
      line: "GET metrics/get-curves",
      body: { run_ids: [run], metric_key: "m", start_step: 0, end_step: 5, max_points: 5 },
    },
    {
      line: "POST logged-models",
      body: { experiment_id: "0", name: "n", model_type: "t", source_run_id: run, params: [tag], tags: [tag] },
    },
    {
      line: "POST logged-models/search",
      body: {
        ...{ experiment_ids: ["0"], filter: "", max_results: 5, page_token: "" },
        datasets: [{ dataset_name: "d", dataset_digest: "1" }],
        order_by: [{ field_name: "metrics.m", ascending: true, dataset_name: "d", dataset_digest: "1" }],
      },
    },
    { line: `GET ${at}`, body: { allow_deleted: true } },
    { line: `PATCH ${at}`, body: { status: "LOGGED_MODEL_READY" } },
    { line: "DELETE logged-models/m-0", body: {} },
    { line: `PATCH ${at}/tags`, body: { tags: [tag] } },
    { line: `DELETE ${at}/tags/k`, body: {} },
    { line: `POST ${at}/params`, body: { params: [tag] } },
    { line: `GET ${at}/artifacts/directories`, body: { artifact_directory_path: "a" } },
    { line: "POST registered-models/create", body: { name: "n", description: "d", tags: [tag] } },
    { line: "GET registered-models/get", body: { name: "net" } },
    { line: "POST registered-models/rename", body: { name: "other", new_name: "else" } },
    { line: "PATCH registered-models/update", body: { name: "net", description: "d" } },
    { line: "DELETE registered-models/delete", body: { name: "other" } },
    { line: "GET registered-models/search", body: page },
    { line: "POST registered-models/get-latest-versions", body: { name: "net", stages: ["None"] } },
    { line: "GET registered-models/get-latest-versions", body: { name: "net", stages: ["None"] } },
    { line: "POST registered-models/set-tag", body: { name: "net", ...tag } },
    { line: "DELETE registered-models/delete-tag", body: { name: "net", key: "k" } },
    { line: "POST registered-models/alias", body: { ...version, alias: "a" } },
    { line: "DELETE registered-models/alias", body: { name: "net", alias: "a" } },
    { line: "GET registered-models/get-history", body: { name: "net" } },
    { line: "GET registered-models/alias", body: { name: "net", alias: "a" } },
    {
      line: "POST model-versions/create",
      body: {
        ...{ name: "net", source: "s3://bucket/x", run_id: run, run_link: "l", model_id: model },
        ...{ description: "d", tags: [tag] },
      },
    },
    { line: "GET model-versions/get", body: version },
    { line: "PATCH model-versions/update", body: { ...version, description: "d" } },
    {
      line: "POST model-versions/transition-stage",
      body: { ...version, stage: "Staging", archive_existing_versions: true },
    },
    { line: "DELETE model-versions/delete", body: { name: "net", version: "9" } },
    { line: "GET model-versions/search", body: page },
    { line: "GET model-versions/get-download-uri", body: version },
    { line: "POST model-versions/set-tag", body: { ...version, ...tag } },
    { line: "DELETE model-versions/delete-tag", body: { ...version, key: "k" } },
  ];
}

/** Ways to every field of a body, lists and what is in them too. */
export function waysInto(value: unknown, way: readonly string[] = []): readonly (readonly string[])[] {
  if (typeof value !== "object" || value === null) return [way];
  const below = Object.entries(value).flatMap(([key, item]) => waysInto(item, [...way, key]));
  return way.length === 0 ? below : [way, ...below];
}

/** The body with another value at one place. */
export function replaceAt(value: unknown, way: readonly string[], by: unknown): unknown {
  const [key, ...rest] = way;
  if (key === undefined) return by;
  if (Array.isArray(value))
    return value.map((item, index) => (String(index) === key ? replaceAt(item, rest, by) : item));
  const fields = value as Body;
  return { ...fields, [key]: replaceAt(fields[key], rest, by) };
}

export const wrongValues: readonly unknown[] = [
  null,
  true,
  -1,
  1.5,
  1e308,
  2 ** 53,
  "9".repeat(400),
  "-9223372036854775808",
  "",
  "\u0000",
  "\ud800",
  "../../etc",
  "x".repeat(20_000),
  [],
  [[{}]],
  { a: { b: [] } },
];

/** Filters that are long, deep, unfinished, or slow for one who reads them carelessly. */
export const heavyFilters: readonly string[] = [
  Array.from({ length: 5000 }, (_, i) => `metrics.m${i} > ${i}`).join(" AND "),
  Array.from({ length: 500 }, (_, i) => `metrics.m${i} > ${i}`).join(" AND "),
  Array.from({ length: 500 }, (_, i) => `params.p${i} != 'x'`).join(" AND "),
  Array.from({ length: 200 }, (_, i) => `tags.t${i} = 'x'`).join(" AND "),
  Array.from({ length: 70 }, (_, i) => `params.p${i} = 'x'`).join(" AND "),
  `${"(".repeat(10_000)}metrics.m > 1${")".repeat(10_000)}`,
  `${"NOT ".repeat(10_000)}metrics.m > 1`,
  `params.p = '${"\\".repeat(100)}`,
  `params.p = '${"\\'".repeat(100)}`,
  `params.p = "${"\\".repeat(101)}`,
  `params.p = '${"''".repeat(5000)}`,
  `params.p LIKE '${"%a".repeat(20_000)}'`,
  `params.p LIKE '${"%a_".repeat(30_000)}'`,
  `params.p ILIKE '${"_%".repeat(30_000)}b'`,
  `tags.t LIKE '${"x".repeat(60_000)}'`,
  `attributes.run_id IN (${Array.from({ length: 70_000 }, () => "'x'").join(",")})`,
  `attributes.run_id IN (${Array.from({ length: 10_000 }, () => "'x'").join(",")})`,
  `metrics.m > ${"9".repeat(5000)}`,
  `metrics.m > 1e999`,
  `attributes.start_time > ${"9".repeat(30)}`,
  `metrics.${"a".repeat(100_000)} > 1`,
  `metrics.${".".repeat(10_000)} > 1`,
  "`".repeat(9999),
  "\u0000",
  "tags.`\u0000` = 'x'",
  "params.p = '\ud800'",
  "a".repeat(1_000_000),
];

/** Ways out of a folder, as they stand on the request line. */
export const escapes: readonly string[] = [
  "../secret",
  "../../../../../../etc/passwd",
  "a/../../secret",
  "..%2fsecret",
  "%2e%2e%2fsecret",
  "%2e%2e/secret",
  "%252e%252e%252fsecret",
  "%25252e%25252e%25252fsecret",
  "..%252fsecret",
  "..%5csecret",
  "..%255csecret",
  "..\\secret",
  "%2fetc%2fpasswd",
  "//etc/passwd",
  "/etc/passwd",
  "%5cetc%5cpasswd",
  "C:%5cWindows%5cwin.ini",
  "C:/Windows/win.ini",
  "c:secret",
  "%5c%5chost%5cshare",
  "..%c0%afsecret",
  "%c0%ae%c0%ae/secret",
  "..%00/secret",
  "a%00",
  "....//secret",
  "..;/secret",
  "./.././secret",
  "%EF%BC%8E%EF%BC%8E/secret",
  "file:%2f%2f%2fetc%2fpasswd",
  "%",
  "%zz",
  "%ff%fe",
  ".incoming/x",
  "link/secret",
  "link",
  "file-link",
  "inner/link/secret",
  "CON",
  "a%0d%0aset-cookie:x",
];
