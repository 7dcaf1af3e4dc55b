import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { type RouteContext, syntheticFields } from "../dependencies.ts";
import { healthSchema } from "../schemas.ts";

/** GET /health: the served model and the machine's load. */
export const healthRoute = ({
  bundle,
  classifier,
  system,
  version,
  limits,
  now,
}: RouteContext): FastifyPluginAsyncZod => {
  const startedAt = now();
  return async (app) => {
    app.route({
      method: "GET",
      url: "/health",
      schema: {
        summary: "Health check with system metrics",
        tags: ["service"],
        response: { 200: healthSchema },
      },
      handler: async () => {
        const sample = await system.sample();
        return {
          status: "healthy" as const,
          model_loaded: true as const,
          model: bundle.metadata.name,
          version,
          uptime_seconds: (now() - startedAt) / 1000,
          queue_length: classifier.waiting,
          max_upload_bytes: limits.maxUploadBytes,
          ...syntheticFields(bundle.metadata),
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
        };
      },
    });
  };
};
