import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { PipelineError } from "../../base/errors.ts";
import { actorOf } from "../../http/access/guard.ts";
import { errorResponses } from "../../http/errors/api-error-schema.ts";
import { describeMetrics } from "../../observability/metric-description.ts";
import type { RouteContext } from "../dependencies.ts";
import {
  alertConfigSchema,
  alertTestSchema,
  logStatsSchema,
  metricsInfoSchema,
  recipientsSchema,
  thresholdsSchema,
} from "../monitoring-schemas.ts";

const reading = errorResponses(421, 500, 501);
const changing = errorResponses(400, 401, 403, 413, 415, 421, 429, 500, 501, 503);

/** GET /metrics, /metrics-info and /logs/stats; what is measured and logged. */
export const metricsRoutes = ({ metrics, logs }: RouteContext): FastifyPluginAsyncZod => {
  return async (app) => {
    app.route({
      method: "GET",
      url: "/metrics",
      schema: {
        summary: "Prometheus metrics",
        tags: ["monitoring"],
        response: {
          200: {
            description: "OpenMetrics for those who accept it, with the request id as exemplar; else the text format",
            content: {
              "text/plain": { schema: z.string() },
              "application/openmetrics-text": { schema: z.string() },
            },
          },
          ...errorResponses(421),
        },
      },
      handler: async (request, reply) => {
        const { contentType, text } = await metrics.render(request.headers.accept);
        reply.header("cache-control", "no-store").header("vary", "accept");
        return reply.type(contentType).send(text);
      },
    });
    app.route({
      method: "GET",
      url: "/metrics-info",
      schema: {
        summary: "Every metric with its type, meaning, labels, unit and present value",
        tags: ["monitoring"],
        response: { 200: metricsInfoSchema, ...errorResponses(421) },
      },
      handler: async () => {
        const described = describeMetrics(await metrics.samples());
        return { metrics_endpoint: "/metrics", count: described.length, metrics: described };
      },
    });
    app.route({
      method: "GET",
      url: "/logs/stats",
      schema: {
        summary: "Log files, their sizes and counts",
        tags: ["monitoring"],
        response: { 200: logStatsSchema, ...reading },
      },
      handler: async () => present(logs, "log files").stats(),
    });
  };
};

/** /alerts/*: who is told about what, and whether it works. */
export const alertRoutes = ({ alerts }: RouteContext): FastifyPluginAsyncZod => {
  const service = () => present(alerts, "alerting");
  return async (app) => {
    app.route({
      method: "GET",
      url: "/alerts/config",
      schema: {
        summary: "Recipients, thresholds and rules in force",
        tags: ["alerts"],
        response: { 200: alertConfigSchema, ...reading },
      },
      handler: async () => service().config(),
    });
    app.route({
      method: "POST",
      url: "/alerts/recipients",
      config: { access: "admin" },
      schema: {
        summary: "Set who gets alerts by e-mail",
        tags: ["alerts"],
        body: recipientsSchema,
        response: { 200: alertConfigSchema, ...changing },
      },
      handler: async (request) => service().setRecipients(request.body, actorOf(request)),
    });
    app.route({
      method: "POST",
      url: "/alerts/thresholds",
      config: { access: "admin" },
      schema: {
        summary: "Set the values beyond which alerts fire",
        tags: ["alerts"],
        body: thresholdsSchema,
        response: { 200: alertConfigSchema, ...changing },
      },
      handler: async (request) => {
        const given = Object.entries(request.body).filter((entry): entry is [string, number] => entry[1] !== undefined);
        return service().setThresholds(Object.fromEntries(given), actorOf(request));
      },
    });
    app.route({
      method: "GET",
      url: "/alerts/test",
      schema: {
        summary: "Check the alert configuration without sending anything",
        tags: ["alerts"],
        response: { 200: alertTestSchema, ...reading },
      },
      handler: async () => testAnswer(await service().check()),
    });
    app.route({
      method: "POST",
      url: "/alerts/test",
      config: { access: "admin" },
      schema: {
        summary: "Send a test alert",
        tags: ["alerts"],
        response: { 200: alertTestSchema, ...changing },
      },
      handler: async (request) => testAnswer(await service().sendTest(actorOf(request))),
    });
  };
};

function testAnswer({ ok, message, checks }: Awaited<ReturnType<NonNullable<RouteContext["alerts"]>["check"]>>) {
  return { ok, message, checks: checks.map((check) => ({ ...check })) };
}

function present<T>(part: T | undefined, what: string): T {
  if (part !== undefined) return part;
  throw new PipelineError("NOT_CONFIGURED", `this server runs without ${what}`, {
    remedy: "start it with `cifar serve` or `cifar stack up`, which bring it",
  });
}
