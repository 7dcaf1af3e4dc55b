import { basename } from "node:path";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { actorOf } from "../../http/access/guard.ts";
import { v2Errors } from "../../http/errors/open-inference-error.ts";
import { identityOf } from "../../inference/model-identity.ts";
import type { RouteContext } from "../dependencies.ts";
import type { LoadedModel } from "../model-repository.ts";
import { modelParams, modelPaths, selectorOf } from "./inference-routes.ts";
import {
  changedSchema,
  indexRequestSchema,
  indexSchema,
  liveSchema,
  loadRequestSchema,
  readySchema,
  serverMetadataSchema,
  statisticsSchema,
  unloadRequestSchema,
} from "./schemas.ts";

const tags = ["open inference protocol"];
const changing = v2Errors(400, 401, 403, 404, 409, 413, 415, 421, 422, 429, 503);

/** /v2 itself, its health, statistics and the model repository. */
export const v2ServerRoutes = (
  { models, version }: RouteContext,
  { accepting }: { readonly accepting: () => boolean },
): FastifyPluginAsyncZod => {
  return async (app) => {
    app.route({
      method: "GET",
      url: "/v2",
      schema: { summary: "Server metadata", tags, response: { 200: serverMetadataSchema, ...v2Errors(421) } },
      handler: async () => ({
        name: "cifar-pipeline",
        version,
        extensions: ["binary_tensor_data", "model_repository", "statistics"],
      }),
    });
    app.route({
      method: "GET",
      url: "/v2/health/live",
      schema: { summary: "Whether the server answers", tags, response: { 200: liveSchema, ...v2Errors(421) } },
      handler: async () => ({ live: true }),
    });
    app.route({
      method: "GET",
      url: "/v2/health/ready",
      schema: {
        summary: "Whether the server takes inference requests",
        tags,
        response: { 200: readySchema, 503: readySchema, ...v2Errors(421) },
      },
      handler: async (_request, reply) => {
        const ready = accepting() && models.active.classifier.readiness !== "down";
        return reply.code(ready ? 200 : 503).send({ live: true, ready });
      },
    });

    app.route({
      method: "GET",
      url: "/v2/models/stats",
      schema: {
        summary: "Statistics of every loaded model",
        tags,
        response: { 200: statisticsSchema, ...v2Errors(421) },
      },
      handler: async () => ({ model_stats: models.loaded.map(statisticsOf) }),
    });
    for (const { prefix, params } of modelPaths) {
      app.route({
        method: "GET",
        url: `${prefix}/stats`,
        schema: {
          summary: "Statistics of a model since it was loaded",
          tags,
          params,
          response: { 200: statisticsSchema, ...v2Errors(400, 404, 421) },
        },
        handler: async (request) => ({ model_stats: [statisticsOf(models.find(selectorOf(request.params)))] }),
      });
    }

    app.route({
      method: "POST",
      url: "/v2/repository/index",
      schema: {
        summary: "Models in the folder of models",
        tags,
        body: indexRequestSchema,
        response: { 200: indexSchema, ...v2Errors(400, 403, 413, 415, 421) },
      },
      handler: async (request) => {
        const { bundles, damaged } = await models.list();
        const loaded = new Set(models.loaded.map(({ bundle }) => bundle.metadata.name));
        const names = new Set([...loaded, ...bundles.map(({ metadata }) => metadata.name)]);
        const usable = [...names].map((name) => ({
          ...identityOf(name),
          ...(loaded.has(name)
            ? { state: "READY" as const, reason: "" }
            : { state: "UNAVAILABLE" as const, reason: "not loaded" }),
        }));
        const broken = damaged.map(({ directory }) => ({
          ...identityOf(basename(directory)),
          state: "UNAVAILABLE" as const,
          reason: "damaged; see /models",
        }));
        return [...usable, ...broken].filter(({ state }) => request.body?.ready !== true || state === "READY");
      },
    });
    app.route({
      method: "POST",
      url: "/v2/repository/models/:model/load",
      config: { access: "admin" },
      schema: {
        summary: "Load or reload a model",
        description:
          "Opens the bundle, checks it and takes it into service. The model that answered by default until then finishes " +
          "its requests and is closed; when the new one fails its self-check, nothing changes.",
        tags,
        params: modelParams,
        body: loadRequestSchema,
        response: { 200: changedSchema, ...changing },
      },
      handler: async (request) => {
        const { version: wanted, activate = true } = request.body?.parameters ?? {};
        const selector = { name: request.params.model, version: wanted };
        const { bundle } = await models.load(selector, {
          role: activate ? "activate" : "beside",
          requestId: request.id,
        });
        const { name } = bundle.metadata;
        request.log.info({ model: name, activate, by: actorOf(request).name }, "model loaded");
        return { ...identityOf(name), state: "READY" as const };
      },
    });
    app.route({
      method: "POST",
      url: "/v2/repository/models/:model/unload",
      config: { access: "admin" },
      schema: {
        summary: "Unload a model",
        description: "It finishes its requests first. The model that answers by default can't be unloaded.",
        tags,
        params: modelParams,
        body: unloadRequestSchema,
        response: { 200: changedSchema, ...changing },
      },
      handler: async (request) => {
        const selector = { name: request.params.model, version: request.body?.parameters?.version };
        const { name } = models.find(selector).bundle.metadata;
        await models.unload({ name });
        request.log.info({ model: name, by: actorOf(request).name }, "model unloaded");
        return { ...identityOf(name), state: "UNAVAILABLE" as const };
      },
    });
  };
};

function statisticsOf({ bundle, statistics }: LoadedModel) {
  const { success, failure, queue, decode, runs, batches, lastInferenceMs } = statistics;
  const none = { count: 0, ns: 0 };
  const ns = ({ count, seconds }: { readonly count: number; readonly seconds: number }) => ({
    count,
    ns: Math.round(seconds * 1e9),
  });
  return {
    ...identityOf(bundle.metadata.name),
    last_inference: lastInferenceMs,
    inference_count: success.count,
    execution_count: runs.count,
    inference_stats: {
      success: ns(success),
      fail: ns(failure),
      queue: ns(queue),
      compute_input: ns(decode),
      compute_infer: ns(runs),
      compute_output: none,
    },
    batch_stats: [...batches]
      .sort(([a], [b]) => a - b)
      .map(([size, duration]) => ({
        batch_size: size,
        compute_input: none,
        compute_infer: ns(duration),
        compute_output: none,
      })),
  };
}
