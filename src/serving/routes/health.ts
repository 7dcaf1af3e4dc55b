import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { PipelineError } from "../../base/errors.ts";
import { errorResponses } from "../../http/errors/api-error-schema.ts";
import type { Admission } from "../admission.ts";
import { type RouteContext, syntheticFields } from "../dependencies.ts";
import type { FeedbackLog } from "../feedback-log.ts";
import { healthSchema, liveSchema, readySchema } from "../schemas.ts";

export interface HealthRouteParts {
  readonly admission: Admission;
  readonly feedback: FeedbackLog;
  /** False while the server drains. */
  readonly accepting: () => boolean;
}

/** GET /health, /health/live and /health/ready. */
export const healthRoutes = (
  { models, system, version, limits, now }: RouteContext,
  { admission, feedback, accepting }: HealthRouteParts,
): FastifyPluginAsyncZod => {
  const startedAt = now();
  return async (app) => {
    app.route({
      method: "GET",
      url: "/health",
      schema: {
        summary: "Health check with system metrics",
        description: "The same fields with status 503 while the model cannot answer.",
        tags: ["service"],
        response: { 200: healthSchema, 503: healthSchema, ...errorResponses(421) },
      },
      handler: async (_request, reply) => {
        const sample = await system.sample();
        const { bundle, classifier } = models.active;
        const { metadata } = bundle;
        const status = classifier.readiness;
        return reply.code(status === "down" ? 503 : 200).send({
          status,
          model_loaded: status !== "down",
          model: metadata.name,
          version,
          uptime_seconds: (now() - startedAt) / 1000,
          queue_length: models.waiting,
          requests_in_flight: admission.requests,
          live_accuracy: feedback.accuracyOf(metadata.name) ?? null,
          max_upload_bytes: limits.maxUploadBytes,
          ...syntheticFields(metadata),
          system: {
            cpu_percent: sample.cpuPercent,
            cpu_count: sample.cpuCount,
            load_average_1m: sample.loadAverage1m,
            memory_percent: sample.memoryPercent,
            memory_total_bytes: sample.memoryTotalBytes,
            memory_available_bytes: sample.memoryAvailableBytes,
            disk_percent: sample.diskPercent,
            disk_total_bytes: sample.diskTotalBytes,
            disk_free_bytes: sample.diskFreeBytes,
            process_memory_bytes: sample.processMemoryBytes,
            source: sample.source,
          },
        });
      },
    });
    app.route({
      method: "GET",
      url: "/health/live",
      schema: {
        summary: "Whether the process answers",
        description: "For liveness probes: cheap, and independent of model and load.",
        tags: ["service"],
        response: { 200: liveSchema, ...errorResponses(421) },
      },
      handler: async () => ({ status: "alive" as const }),
    });
    app.route({
      method: "GET",
      url: "/health/ready",
      schema: {
        summary: "Whether predictions are answered",
        description:
          "For readiness probes: 503 while the server drains before it ends, and while the model cannot answer.",
        tags: ["service"],
        response: { 200: readySchema, ...errorResponses(421, 503) },
      },
      handler: async () => {
        if (!accepting()) {
          throw new PipelineError("SHUTTING_DOWN", "the server is shutting down", {
            remedy: "retry at another instance",
          });
        }
        const { bundle, classifier } = models.active;
        const { name } = bundle.metadata;
        if (classifier.readiness === "down") {
          throw new PipelineError("INFERENCE_UNAVAILABLE", `no inference worker of model ${name} runs`, {
            remedy: "see the log for why they fail",
          });
        }
        return { status: "ready" as const, model: name };
      },
    });
  };
};
