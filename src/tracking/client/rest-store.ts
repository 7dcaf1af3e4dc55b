import { z } from "zod";
import { isPipelineError, PipelineError } from "../../base/errors.ts";
import type { Page } from "../page.ts";
import { toDouble, wireDatasetInput } from "../server/wire.ts";
import type { TrackingStore } from "../store.ts";
import type { Experiment, Metric } from "../types.ts";
import { checkParam, checkTag } from "../validation.ts";
import type { Caller } from "./caller.ts";
import type { HttpClient, HttpRequest } from "./http.ts";
import { restRegistry } from "./rest-registry.ts";
import { experimentAnswer, loggedModelAnswer, metricAnswer, runAnswer } from "./wire.ts";

const viewWords = { active: "ACTIVE_ONLY", deleted: "DELETED_ONLY", all: "ALL" } as const;

/** Of one page of a history. */
const historyPage = 25_000;

/** A tracking store on any MLflow server. Calls that would make a thing twice are not repeated once they were sent. */
export function createRestStore(http: HttpClient): TrackingStore {
  let closed = false;
  const call: Caller = async (line, schema, { query, json, repeatable } = {}) => {
    if (closed) throw new PipelineError("TRACKING_STORE_FAILED", `the client of ${http.url} is closed`);
    const [method, path] = line.split(" ") as [HttpRequest["method"], string];
    const answer = await http.call({
      method,
      path: `/api/2.0/mlflow/${path}`,
      ...(query === undefined ? {} : { query }),
      ...(json === undefined ? {} : { json }),
      ...(repeatable === undefined ? {} : { repeatable }),
    });
    const parsed = schema.safeParse(answer);
    if (parsed.success) return parsed.data;
    throw new PipelineError("TRACKING_UNAVAILABLE", `${http.url} answered ${path} in an unknown way`, {
      cause: parsed.error,
      remedy: "check that mlflow.tracking_uri is the address of an MLflow tracking server of version 2 or 3",
    });
  };
  const nothing = z.unknown();
  const done = async (line: Parameters<Caller>[0], json: object): Promise<void> => {
    await call(line, nothing, { json });
  };

  const experiment = z.object({ experiment: experimentAnswer });
  const getExperiment = async (id: string): Promise<Experiment> =>
    (await call("GET experiments/get", experiment, { query: { experiment_id: id } })).experiment;
  const run = z.object({ run: runAnswer });
  const getRun = async (runId: string) => (await call("GET runs/get", run, { query: { run_id: runId } })).run;
  const model = z.object({ model: loggedModelAnswer });
  const history = async (runId: string, key: string, token?: string, maxResults = historyPage) => {
    const schema = z.object({ metrics: z.array(metricAnswer).default([]), next_page_token: z.string().optional() });
    const query = { run_id: runId, metric_key: key, max_results: maxResults, page_token: token };
    const { metrics, next_page_token } = await call("GET metrics/get-history", schema, { query });
    return { items: metrics, nextPageToken: next_page_token === "" ? undefined : next_page_token };
  };
  const wholeHistory = async (runId: string, key: string): Promise<Metric[]> => {
    const points: Metric[] = [];
    let token: string | undefined;
    do {
      const page: Page<Metric> = await history(runId, key, token);
      for (const point of page.items) points.push(point);
      token = page.nextPageToken;
    } while (token !== undefined);
    return points;
  };

  const close = async (): Promise<void> => {
    closed = true;
  };

  return {
    ...restRegistry(call),

    createExperiment: async (name, { artifactLocation, tags = [] } = {}) => {
      const json = { name, artifact_location: artifactLocation, tags };
      const schema = z.object({ experiment_id: z.string() });
      return getExperiment((await call("POST experiments/create", schema, { json, repeatable: "no" })).experiment_id);
    },
    getExperiment,
    getExperimentByName: async (name) => {
      try {
        const query = { experiment_name: name };
        return (await call("GET experiments/get-by-name", experiment, { query })).experiment;
      } catch (error) {
        if (isPipelineError(error, "TRACKING_NOT_FOUND")) return undefined;
        throw error;
      }
    },
    searchExperiments: async ({ filter, view = "active", orderBy, maxResults = 1000, pageToken } = {}) => {
      const schema = z.object({
        experiments: z.array(experimentAnswer).default([]),
        next_page_token: z.string().optional(),
      });
      const json = {
        filter,
        view_type: viewWords[view],
        order_by: orderBy,
        max_results: maxResults,
        page_token: pageToken,
      };
      const { experiments, next_page_token } = await call("POST experiments/search", schema, { json });
      return { items: experiments, nextPageToken: next_page_token };
    },
    renameExperiment: (id, name) => done("POST experiments/update", { experiment_id: id, new_name: name }),
    deleteExperiment: (id) => done("POST experiments/delete", { experiment_id: id }),
    restoreExperiment: (id) => done("POST experiments/restore", { experiment_id: id }),
    setExperimentTag: (id, { key, value }) =>
      done("POST experiments/set-experiment-tag", { experiment_id: id, key, value }),
    deleteExperimentTag: (id, key) => done("POST experiments/delete-experiment-tag", { experiment_id: id, key }),

    createRun: async (experimentId, { runName, userId, startTime = Date.now(), tags = [] } = {}) => {
      const json = { experiment_id: experimentId, user_id: userId, run_name: runName, start_time: startTime, tags };
      return (await call("POST runs/create", run, { json, repeatable: "no" })).run;
    },
    getRun,
    updateRun: async (runId, { status, endTime, runName }) => {
      // A server does not end a run by itself.
      const ends = status === "FINISHED" || status === "FAILED" || status === "KILLED";
      const end_time = endTime ?? (ends ? Date.now() : undefined);
      await done("POST runs/update", { run_id: runId, status, end_time, run_name: runName });
      return getRun(runId);
    },
    deleteRun: (runId) => done("POST runs/delete", { run_id: runId }),
    restoreRun: (runId) => done("POST runs/restore", { run_id: runId }),
    searchRuns: async ({ experimentIds, filter, view = "active", orderBy, maxResults = 1000, pageToken }) => {
      const schema = z.object({ runs: z.array(runAnswer).default([]), next_page_token: z.string().optional() });
      const json = {
        experiment_ids: experimentIds,
        filter,
        run_view_type: viewWords[view],
        order_by: orderBy,
        max_results: maxResults,
        page_token: pageToken,
      };
      const { runs, next_page_token } = await call("POST runs/search", schema, { json });
      return { items: runs, nextPageToken: next_page_token };
    },

    logBatch: async (runId, { metrics = [], params = [], tags = [] }) => {
      // Servers cut long values off without a word.
      params.forEach(checkParam);
      tags.forEach(checkTag);
      await done("POST runs/log-batch", { run_id: runId, metrics: metrics.map(wirePoint), params, tags });
    },
    setTag: async (runId, { key, value }) => {
      checkTag({ key, value });
      await done("POST runs/set-tag", { run_id: runId, key, value });
    },
    deleteTag: (runId, key) => done("POST runs/delete-tag", { run_id: runId, key }),
    logInputs: (runId, { datasets = [], modelIds = [] }) =>
      done("POST runs/log-inputs", {
        run_id: runId,
        datasets: datasets.map(wireDatasetInput),
        models: modelIds.map((model_id) => ({ model_id })),
      }),
    logOutputs: (runId, models) =>
      done("POST runs/outputs", {
        run_id: runId,
        models: models.map(({ modelId, step }) => ({ model_id: modelId, step })),
      }),

    getMetricHistory: async (runId, key, { maxResults, pageToken } = {}) => {
      if (maxResults !== undefined) return history(runId, key, pageToken, maxResults);
      return { items: await wholeHistory(runId, key), nextPageToken: undefined };
    },
    sampleMetricHistory: async ({ runIds, key, maxResults, steps }) => {
      const schema = z.object({ metrics: z.array(metricAnswer).default([]) });
      const query = {
        run_ids: runIds,
        metric_key: key,
        max_results: maxResults,
        start_step: steps?.from,
        end_step: steps?.to,
      };
      const { metrics } = await call("GET metrics/get-history-bulk-interval", schema, { query });
      return metrics.map((metric) => ({ ...metric, runId: metric.runId ?? "" }));
    },
    searchDatasets: async (experimentIds) => {
      const summary = z.object({
        experiment_id: z.string(),
        name: z.string(),
        digest: z.string(),
        context: z.string().optional(),
      });
      const schema = z.object({ dataset_summaries: z.array(summary).default([]) });
      const json = { experiment_ids: experimentIds };
      const { dataset_summaries } = await call("POST experiments/search-datasets", schema, { json });
      return dataset_summaries.map(({ experiment_id, name, digest, context }) => ({
        experimentId: experiment_id,
        name,
        digest,
        context,
      }));
    },

    createLoggedModel: async (experimentId, { name, modelType, sourceRunId, params, tags } = {}) => {
      const json = {
        experiment_id: experimentId,
        name,
        model_type: modelType,
        source_run_id: sourceRunId,
        params,
        tags,
      };
      return (await call("POST logged-models", model, { json, repeatable: "no" })).model;
    },
    getLoggedModel: async (modelId, { view = "active" } = {}) => {
      const query = view === "active" ? {} : { allow_deleted: "true" };
      return (await call(`GET logged-models/${encodeURIComponent(modelId)}`, model, { query })).model;
    },
    finalizeLoggedModel: async (modelId, status) => {
      const json = { model_id: modelId, status };
      return (await call(`PATCH logged-models/${encodeURIComponent(modelId)}`, model, { json })).model;
    },
    deleteLoggedModel: (modelId) => done(`DELETE logged-models/${encodeURIComponent(modelId)}`, {}),
    setLoggedModelTags: (modelId, tags) => done(`PATCH logged-models/${encodeURIComponent(modelId)}/tags`, { tags }),
    deleteLoggedModelTag: (modelId, key) =>
      done(`DELETE logged-models/${encodeURIComponent(modelId)}/tags/${encodeURIComponent(key)}`, {}),
    logLoggedModelParams: (modelId, params) =>
      done(`POST logged-models/${encodeURIComponent(modelId)}/params`, { model_id: modelId, params }),
    searchLoggedModels: async ({ experimentIds, filter, datasets, orderBy, maxResults, pageToken }) => {
      const schema = z.object({
        models: z.array(loggedModelAnswer).default([]),
        next_page_token: z.string().optional(),
      });
      const json = {
        experiment_ids: experimentIds,
        filter,
        datasets: datasets?.map(({ name, digest }) => ({ dataset_name: name, dataset_digest: digest })),
        order_by: orderBy?.map(({ field, direction, dataset }) => ({
          field_name: field,
          ascending: direction === "ascending",
          dataset_name: dataset?.name,
          dataset_digest: dataset?.digest,
        })),
        max_results: maxResults,
        page_token: pageToken,
      };
      const { models, next_page_token } = await call("POST logged-models/search", schema, { json });
      return { items: models, nextPageToken: next_page_token };
    },

    close,
    [Symbol.asyncDispose]: close,
  };
}

function wirePoint({ key, value, timestamp, step, modelId, datasetName, datasetDigest }: Metric) {
  return {
    ...{ key, value: toDouble(value), timestamp, step },
    model_id: modelId,
    dataset_name: datasetName,
    dataset_digest: datasetDigest,
  };
}
