import { z } from "zod";
import { trackingLimits as limits, type Metric, type Param, runStatuses, type Tag } from "../../types.ts";
import { invalid } from "../../validation.ts";
import { double, int, list, requiredText, tag, tags, text, view } from "../request.ts";
import { type ApiRoute, route } from "../route.ts";
import { filled, wireFile, wireRun, wireRunInfo } from "../wire.ts";

/** Old clients say run_uuid. */
const runId = <T extends z.ZodRawShape>(shape: T) =>
  z.preprocess(
    (value) => {
      const given = value as { readonly run_id?: unknown; readonly run_uuid?: unknown };
      return typeof value === "object" && value !== null && given.run_id === undefined && given.run_uuid !== undefined
        ? { ...value, run_id: given.run_uuid }
        : value;
    },
    z.object({ run_id: requiredText, ...shape }),
  );

const metric = z.object({
  key: requiredText,
  value: double,
  timestamp: int,
  step: int.default(0),
  model_id: text.optional(),
  dataset_name: text.optional(),
  dataset_digest: text.optional(),
});

/** Protobuf names its status, or numbers it from 1. */
const status = z.union([z.enum(runStatuses), int.refine((number) => number >= 1 && number <= runStatuses.length)]);

export const runRoutes: readonly ApiRoute[] = [
  route(
    "POST runs/create",
    z.object({
      experiment_id: text.default("0"),
      user_id: text.default(""),
      run_name: text.optional(),
      start_time: int.optional(),
      tags,
    }),
    async ({ experiment_id, user_id, run_name, start_time, tags: given }, { store }) => {
      const run = await store.createRun(experiment_id === "" ? "0" : experiment_id, {
        userId: user_id,
        tags: given.map(cutTag),
        ...(run_name === undefined || run_name === "" ? {} : { runName: run_name }),
        ...(start_time === undefined ? {} : { startTime: start_time }),
      });
      const { outputs: _none, ...made } = wireRun(run);
      return { run: made };
    },
  ),
  route("GET runs/get", runId({}), async ({ run_id }, { store }) => ({ run: wireRun(await store.getRun(run_id)) })),
  route(
    "POST runs/update",
    runId({ status: status.optional(), end_time: int.optional(), run_name: text.optional() }),
    async (input, { store }) => {
      const word = typeof input.status === "number" ? runStatuses[input.status - 1] : input.status;
      const { info } = await store.updateRun(input.run_id, {
        ...(word === undefined ? {} : { status: word }),
        ...(input.end_time === undefined ? {} : { endTime: input.end_time }),
        ...(input.run_name === undefined || input.run_name === "" ? {} : { runName: input.run_name }),
      });
      return { run_info: wireRunInfo(info) };
    },
  ),
  route("POST runs/delete", runId({}), async ({ run_id }, { store }) => {
    await store.deleteRun(run_id);
    return {};
  }),
  route("POST runs/restore", runId({}), async ({ run_id }, { store }) => {
    await store.restoreRun(run_id);
    return {};
  }),
  route(
    "POST runs/search",
    z.object({
      experiment_ids: z.array(text).default([]),
      filter: text.default(""),
      run_view_type: view,
      max_results: int.default(1000),
      order_by: z.array(text).default([]),
      page_token: text.optional(),
    }),
    async (input, { store }) => {
      const page = await store.searchRuns({
        experimentIds: input.experiment_ids,
        filter: input.filter,
        view: input.run_view_type,
        maxResults: input.max_results,
        orderBy: input.order_by,
        ...(input.page_token === undefined ? {} : { pageToken: input.page_token }),
      });
      return { runs: filled(page.items.map(wireRun)), next_page_token: page.nextPageToken };
    },
  ),
  route("POST runs/log-metric", runId(metric.shape), async ({ run_id, ...given }, { store }) => {
    await store.logBatch(run_id, { metrics: [toMetric(given)] });
    return {};
  }),
  route(
    "POST runs/log-parameter",
    runId({ key: requiredText, value: text.default("") }),
    async ({ run_id, key, value }, { store }) => {
      await store.logBatch(run_id, { params: [cutParam({ key, value })] });
      return {};
    },
  ),
  route(
    "POST runs/log-batch",
    runId({ metrics: z.array(metric).default([]), params: z.array(tag).default([]), tags }),
    async ({ run_id, metrics, params, tags: given }, { store }) => {
      await store.logBatch(run_id, {
        metrics: metrics.map(toMetric),
        params: params.map(cutParam),
        tags: given.map(cutTag),
      });
      return {};
    },
  ),
  route("POST runs/set-tag", runId(tag.shape), async ({ run_id, key, value }, { store }) => {
    await store.setTag(run_id, cutTag({ key, value }));
    return {};
  }),
  route("POST runs/delete-tag", runId({ key: requiredText }), async ({ run_id, key }, { store }) => {
    await store.deleteTag(run_id, key);
    return {};
  }),
  route("POST runs/log-model", runId({ model_json: requiredText }), async ({ run_id, model_json }, { store }) => {
    const model = readModel(model_json);
    const key = "mlflow.log-model.history";
    const { data } = await store.getRun(run_id);
    const before = data.tags.find((known) => known.key === key)?.value;
    const history = before === undefined ? [] : (JSON.parse(before) as unknown[]);
    await store.setTag(run_id, { key, value: JSON.stringify([...history, model]) });
    return {};
  }),
  route(
    "POST runs/log-inputs",
    runId({
      datasets: z
        .array(
          z.object({
            tags,
            dataset: z.object({
              name: text.default(""),
              digest: text.default(""),
              source_type: text.default(""),
              source: text.default(""),
              schema: text.optional(),
              profile: text.optional(),
            }),
          }),
        )
        .default([]),
      models: z.array(z.object({ model_id: requiredText })).default([]),
    }),
    async ({ run_id, datasets, models }, { store }) => {
      await store.logInputs(run_id, {
        datasets: datasets.map(({ dataset: { source_type, schema, profile, ...rest }, tags: given }) => ({
          dataset: {
            ...rest,
            sourceType: source_type,
            ...(schema === undefined ? {} : { schema }),
            ...(profile === undefined ? {} : { profile }),
          },
          tags: given,
        })),
        modelIds: models.map(({ model_id }) => model_id),
      });
      return {};
    },
  ),
  route(
    "POST runs/outputs",
    runId({ models: z.array(z.object({ model_id: requiredText, step: int.default(0) })) }),
    async ({ run_id, models }, { store }) => {
      await store.logOutputs(
        run_id,
        models.map(({ model_id, step }) => ({ modelId: model_id, step })),
      );
      return {};
    },
  ),
  route(
    "GET artifacts/list",
    runId({ path: text.optional(), page_token: text.optional() }),
    async ({ run_id, path }, { store, artifacts }) => {
      const { info } = await store.getRun(run_id);
      const files = await artifacts.list(info.artifactUri, path?.replace(/\/+$/, ""));
      return { root_uri: info.artifactUri, files: filled(files.map(wireFile)) };
    },
  ),
  route("GET metrics/get-history", runId(historyShape()), async (input, { store }) => {
    const page = await store.getMetricHistory(input.run_id, input.metric_key, {
      ...(input.max_results === undefined ? {} : { maxResults: input.max_results }),
      ...(input.page_token === undefined ? {} : { pageToken: input.page_token }),
    });
    const metrics = page.items.map(({ value, ...rest }) => ({
      ...rest,
      value: Number.isFinite(value) ? value : String(value),
    }));
    return { metrics: filled(metrics), next_page_token: page.nextPageToken };
  }),
  route(
    "GET metrics/get-history-bulk",
    z.object({ run_id: list(text), metric_key: requiredText, max_results: int.default(25_000) }),
    async (input, { store }) => {
      if (input.run_id.length > 100)
        throw invalid(
          `GetMetricHistoryBulk request cannot specify more than 100 run_ids. Received ${input.run_id.length} run_ids`,
          "ask for fewer at once",
        );
      const most = Math.min(input.max_results, 25_000);
      const metrics: object[] = [];
      for (const id of [...input.run_id].sort()) {
        if (metrics.length >= most) break;
        const { items } = await store.getMetricHistory(id, input.metric_key, { maxResults: most - metrics.length });
        for (const { value, ...rest } of items)
          metrics.push({ ...rest, value: Number.isFinite(value) ? value : String(value), run_id: id });
      }
      return { metrics };
    },
  ),
  route(
    "GET metrics/get-history-bulk-interval",
    z.object({
      run_ids: list(text).refine((ids) => ids.length > 0 && ids.length <= 100, "must name 1 to 100 runs"),
      metric_key: requiredText,
      start_step: int.optional(),
      end_step: int.optional(),
      max_results: int.refine((count) => count >= 1 && count <= 2500, "must be between 1 and 2500").default(2500),
    }),
    async ({ run_ids, metric_key, start_step, end_step, max_results }, { store }) => {
      if ((start_step === undefined) !== (end_step === undefined))
        throw invalid("If either start step or end step are specified, both must be specified", "give both or none");
      if (start_step !== undefined && end_step !== undefined && start_step > end_step)
        throw invalid(
          `end_step must be greater than start_step. Found start_step=${start_step} and end_step=${end_step}`,
          "exchange them",
        );
      const points = await store.sampleMetricHistory({
        runIds: run_ids,
        key: metric_key,
        maxResults: max_results,
        ...(start_step === undefined || end_step === undefined ? {} : { steps: { from: start_step, to: end_step } }),
      });
      const metrics = points.map(({ runId: run, value, ...rest }) => ({
        ...rest,
        value: Number.isFinite(value) ? value : String(value),
        run_id: run,
      }));
      return { metrics: filled(metrics) };
    },
  ),
];

function historyShape() {
  return {
    metric_key: requiredText,
    max_results: int.refine((count) => count > 0, "must be a positive integer").optional(),
    page_token: text.optional(),
  };
}

function toMetric(given: z.output<typeof metric>): Metric {
  const { key, value, timestamp, step, model_id, dataset_name, dataset_digest } = given;
  return {
    ...{ key, value, timestamp, step },
    ...(model_id === undefined || model_id === "" ? {} : { modelId: model_id }),
    ...(dataset_name === undefined ? {} : { datasetName: dataset_name }),
    ...(dataset_digest === undefined ? {} : { datasetDigest: dataset_digest }),
  };
}

/** MLflow's server cuts long values off, where a client of the store is refused. */
const cutParam = ({ key, value }: Param): Param => ({ key, value: value.slice(0, limits.paramValueLength) });
const cutTag = ({ key, value }: Tag): Tag => ({ key, value: value.slice(0, limits.tagValueLength) });

function readModel(json: string): Record<string, unknown> {
  let model: unknown;
  try {
    model = JSON.parse(json);
  } catch {
    throw invalid(`Malformed model info. ${json.slice(0, 200)} is not a valid JSON`, "send the MLmodel as JSON");
  }
  const fields = typeof model === "object" && model !== null ? (model as Record<string, unknown>) : {};
  const absent = ["artifact_path", "flavors", "utc_time_created", "run_id"].filter(
    (name) => !Object.hasOwn(fields, name),
  );
  if (absent.length > 0)
    throw invalid(`Model json is missing mandatory fields: ${absent.join(", ")}`, "send the whole MLmodel");
  const { signature: _signature, saved_input_example_info: _example, ...kept } = fields;
  return kept;
}
