import type { FastifyInstance, FastifyPluginAsync, FastifyReply } from "fastify";
import { z } from "zod";
import { PipelineError } from "../../base/errors.ts";
import { errorResponses } from "../../http/errors/api-error-schema.ts";
import { securityHeaders } from "../../http/security-headers.ts";
import type { ActiveAlert, RouteContext } from "../dependencies.ts";
import { DashboardHistory, type DashboardRow } from "./history.ts";
import { type DashboardPoint, seriesNames } from "./series.ts";

const maxListeners = 32;
/** Unsent bytes at which a listener that does not read is dropped. */
const maxBacklogBytes = 1024 * 1024;
const alertsEveryMs = 15_000;

/** GET /dashboard/events: the history, then each new point, as server-sent events. */
export const dashboardRoutes = ({ metrics, models, alerts, logger }: RouteContext): FastifyPluginAsync => {
  return async (app) => {
    const onError = (error: unknown) => logger.error({ err: error }, "the dashboard's figures could not be read");
    const history = new DashboardHistory({ samples: () => metrics.samples(), onError });
    await history.sample();
    const listeners = new Set<FastifyReply>();
    const broadcast = (event: string, data: unknown) => {
      for (const reply of listeners) sendEvent(reply, event, data);
    };
    history.subscribe((point) => broadcast("point", compact(point)));
    closeWith(app, history, listeners);

    let active: readonly ActiveAlert[] | null = null;
    if (alerts !== undefined) {
      const timer = setInterval(() => {
        // Nobody looks, nobody asks.
        if (listeners.size === 0) return;
        readAlerts().then((found) => broadcast("alerts", found), onError);
      }, alertsEveryMs);
      timer.unref();
      app.addHook("onClose", async () => clearInterval(timer));
    }
    async function readAlerts(): Promise<readonly ActiveAlert[] | null> {
      // Where Prometheus can't be reached the panel says so; the rest goes on.
      active = alerts === undefined ? null : await alerts.active().catch(() => null);
      return active;
    }

    app.route({
      method: "GET",
      url: "/dashboard/events",
      config: { isStream: true },
      schema: {
        summary: "The figures of the dashboard as server-sent events",
        description:
          "First `history` (columns, rows, interval), then a `point` every few seconds, and `alerts` where alerting is there.",
        tags: ["monitoring"],
        response: {
          200: { description: "An endless stream", content: { "text/event-stream": { schema: z.string() } } },
          ...errorResponses(421, 503),
        },
      },
      handler: async (request, reply) => {
        if (listeners.size >= maxListeners) {
          throw new PipelineError("QUEUE_FULL", `${listeners.size} dashboards are open already`, {
            remedy: "close one of them",
          });
        }
        reply.hijack();
        reply.raw.writeHead(200, {
          ...securityHeaders,
          "content-type": "text/event-stream",
          "cache-control": "no-store",
          "x-accel-buffering": "no",
          "x-request-id": request.id,
        });
        listeners.add(reply);
        reply.raw.once("close", () => listeners.delete(reply));
        sendEvent(reply, "history", {
          model: models.active.bundle.metadata.name,
          columns: ["time", ...seriesNames],
          interval_ms: history.intervalMs,
          points: history.rows().map(rounded),
          classes: history.latest?.classes ?? {},
        });
        sendEvent(reply, "alerts", await readAlerts());
      },
    });
  };
};

/** Streams have no end of their own: they must not keep the server from closing. */
function closeWith(app: FastifyInstance, history: DashboardHistory, listeners: ReadonlySet<FastifyReply>): void {
  app.addHook("preClose", async () => {
    history[Symbol.dispose]();
    for (const reply of listeners) reply.raw.end();
  });
}

function sendEvent({ raw }: FastifyReply, event: string, data: unknown): void {
  if (raw.writableLength > maxBacklogBytes) return void raw.destroy();
  raw.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
}

function compact({ time, values, classes }: DashboardPoint) {
  return { row: rounded([time, ...seriesNames.map((name) => values[name])]), classes };
}

/** All but the time, which comes first. */
function rounded([time, ...values]: DashboardRow): DashboardRow {
  return [time!, ...values.map((value) => (value === null ? null : Number(value.toPrecision(5))))];
}
