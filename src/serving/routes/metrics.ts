import type { FastifyPluginAsync } from "fastify";
import { z } from "zod";
import type { RouteContext } from "../dependencies.ts";

/** GET /metrics: Prometheus text exposition. */
export const metricsRoute = ({ metrics }: RouteContext): FastifyPluginAsync => {
  return async (app) => {
    app.route({
      method: "GET",
      url: "/metrics",
      schema: {
        summary: "Prometheus metrics",
        tags: ["service"],
        response: {
          200: { description: "Text exposition format", content: { "text/plain": { schema: z.string() } } },
        },
      },
      handler: async (_request, reply) => {
        reply.header("cache-control", "no-store");
        return reply.type(metrics.contentType).send(await metrics.render());
      },
    });
  };
};
