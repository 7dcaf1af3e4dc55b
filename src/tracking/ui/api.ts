import { toNumber } from "./format.ts";
import type { DatasetInput, Run, RunStatus } from "./runs/run.ts";

const base = "/ajax-api/2.0/mlflow/";

type Input = Readonly<Record<string, unknown>>;

interface Pair<T = string> {
  readonly key: string;
  readonly value: T;
}

interface RunAnswer {
  readonly info: {
    readonly run_id: string;
    readonly run_name: string;
    readonly status: RunStatus;
    readonly start_time: number;
    readonly end_time?: number;
    readonly experiment_id: string;
    readonly user_id?: string;
  };
  readonly data?: {
    readonly metrics?: readonly Pair<number | string>[];
    readonly params?: readonly Pair[];
    readonly tags?: readonly Pair[];
  };
  readonly inputs?: { readonly dataset_inputs?: readonly DatasetInput[] };
}

export interface Experiment {
  readonly experiment_id: string;
  readonly name: string;
}

export interface ArtifactFile {
  readonly path: string;
  readonly is_dir?: boolean;
  /** In bytes; folders have none. */
  readonly file_size?: number;
}

export interface RegisteredModel {
  readonly name: string;
  readonly description?: string;
  readonly last_updated_timestamp?: number;
  readonly latest_versions?: readonly { readonly version: string }[];
  readonly aliases?: readonly { readonly alias: string; readonly version: string }[];
}

export interface ModelVersion {
  readonly name: string;
  readonly version: string;
  readonly run_id?: string;
  readonly current_stage?: string;
  readonly creation_timestamp?: number;
  readonly description?: string;
  readonly tags?: readonly Pair[];
}

export interface ModelEvent {
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly version: string;
  readonly kind: "created" | "stage" | "alias set" | "alias removed" | "deleted";
  /** The stage or the alias. */
  readonly value: string;
}

export interface Point {
  readonly step: number;
  /** In milliseconds since 1970. */
  readonly timestamp: number;
  readonly value: number;
}

export interface Range {
  readonly min: number;
  readonly max: number;
}

/** Calls the API; an error tells what the server says. */
export async function call<T = unknown>(
  method: "GET" | "POST" | "PATCH" | "DELETE",
  path: string,
  input: Input = {},
  signal?: AbortSignal,
): Promise<T> {
  const query = new URLSearchParams();
  if (method === "GET")
    for (const [key, value] of Object.entries(input))
      for (const item of Array.isArray(value) ? value : [value])
        if (item !== undefined) query.append(key, String(item));
  const suffix = query.size > 0 ? `?${query}` : "";
  const response = await fetch(`${base}${path}${suffix}`, {
    method,
    ...(signal === undefined ? {} : { signal }),
    ...(method === "GET" ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(input) }),
  });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.message ?? `the server answered with status ${response.status}`);
  return body;
}

export async function searchExperiments(): Promise<readonly Experiment[]> {
  const { experiments = [] } = await call<{ experiments?: Experiment[] }>("POST", "experiments/search", {
    max_results: 1000,
  });
  return experiments;
}

/** An experiment by its id, a deleted one too. */
export async function getExperiment(id: string, signal: AbortSignal): Promise<Experiment> {
  return (await call<{ experiment: Experiment }>("GET", "experiments/get", { experiment_id: id }, signal)).experiment;
}

export async function getRun(id: string, signal: AbortSignal): Promise<Run> {
  return toRun((await call<{ run: RunAnswer }>("GET", "runs/get", { run_id: id }, signal)).run);
}

/** A run in the form that the page works with: values by key. */
function toRun({ info, data = {}, inputs = {} }: RunAnswer): Run {
  const byKey = (items: readonly Pair[] = []) => Object.fromEntries(items.map(({ key, value }) => [key, value]));
  return {
    id: info.run_id,
    name: info.run_name,
    status: info.status,
    start: info.start_time,
    end: info.end_time,
    experiment: info.experiment_id,
    user: info.user_id ?? "",
    metrics: Object.fromEntries((data.metrics ?? []).map(({ key, value }) => [key, toNumber(value)])),
    params: byKey(data.params),
    tags: byKey(data.tags),
    datasets: inputs.dataset_inputs ?? [],
  };
}

export interface RunSearch {
  readonly experiment: string;
  readonly filter: string;
  readonly order: string;
  readonly limit: number;
  readonly signal: AbortSignal;
  /** All runs so far, after each page. */
  onPage(runs: readonly Run[], complete: boolean): void;
}

/** Runs page by page. */
export async function searchRuns({ experiment, filter, order, limit, onPage, signal }: RunSearch): Promise<void> {
  const runs: Run[] = [];
  let token: string | undefined;
  do {
    const page: { runs?: RunAnswer[]; next_page_token?: string } = await call(
      "POST",
      "runs/search",
      {
        experiment_ids: [experiment],
        filter,
        order_by: [order],
        max_results: runs.length === 0 ? 200 : 2000,
        page_token: token,
      },
      signal,
    );
    if (signal.aborted) return;
    for (const run of page.runs ?? []) runs.push(toRun(run));
    token = page.next_page_token;
    onPage([...runs], token === undefined || runs.length >= limit);
  } while (token !== undefined && runs.length < limit);
}

/** How much of a history is read: at most so many points of each run, at least 4; the server keeps the extremes. */
export interface HistoryPart {
  readonly maxPoints: number;
  readonly start_step?: number;
  readonly end_step?: number;
}

/** Points of a metric of several runs, by run. */
export async function histories(
  runIds: readonly string[],
  key: string,
  { maxPoints, ...steps }: HistoryPart,
  signal: AbortSignal,
): Promise<Map<string, readonly Point[]>> {
  const found = new Map<string, Point[]>(runIds.map((id) => [id, []]));
  for (let start = 0; start < runIds.length; start += 100) {
    const { metrics = [] } = await call<{
      metrics?: readonly { run_id: string; step?: number; timestamp: number; value: number | string }[];
    }>(
      "GET",
      "metrics/get-curves",
      { run_ids: runIds.slice(start, start + 100), metric_key: key, max_points: maxPoints, ...steps },
      signal,
    );
    for (const { run_id, step = 0, timestamp, value } of metrics)
      found.get(run_id)?.push({ step, timestamp, value: toNumber(value) });
  }
  return found;
}

/** Smallest and largest values by run and metric: `rangeKey` is the key. */
export async function searchRanges(runIds: readonly string[]): Promise<Map<string, Range>> {
  const found = new Map<string, Range>();
  for (let start = 0; start < runIds.length; start += 1000) {
    const { ranges } = await call<{ ranges: readonly (Range & { run_id: string; key: string })[] }>(
      "POST",
      "metrics/get-ranges",
      { run_ids: runIds.slice(start, start + 1000) },
    );
    for (const { run_id, key, min, max } of ranges) found.set(rangeKey(run_id, key), { min, max });
  }
  return found;
}

export function rangeKey(runId: string, metric: string): string {
  return `${runId} ${metric}`;
}

export async function listArtifacts(runId: string, path?: string): Promise<readonly ArtifactFile[]> {
  const { files = [] } = await call<{ files?: ArtifactFile[] }>("GET", "artifacts/list", { run_id: runId, path });
  return files;
}

/** The last word of an artifact's path. */
export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

export function artifactUrl(runId: string, path: string): string {
  return `/get-artifact?${new URLSearchParams({ run_id: runId, path })}`;
}

export async function readArtifact(url: string): Promise<Response> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`the file cannot be read: status ${response.status}`);
  return response;
}
