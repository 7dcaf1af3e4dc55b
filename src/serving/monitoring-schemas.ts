import { z } from "zod";

// Requests and answers of /metrics-info, /logs/stats and /alerts/*. The parts behind them may tell more than is named here.

export const metricsInfoSchema = z
  .object({
    metrics_endpoint: z.string(),
    count: z.number().int().positive(),
    metrics: z.array(
      z.object({
        name: z.string(),
        type: z.enum(["counter", "gauge", "histogram"]),
        help: z.string(),
        unit: z.string().meta({ description: "Base unit, or what is counted" }),
        labels: z.array(z.string()),
        buckets: z.array(z.number()).optional().meta({ description: "Upper bounds of a histogram" }),
        series: z
          .array(
            z.object({
              labels: z.record(z.string(), z.string()),
              value: z.number().nullable().optional().meta({ description: "null where there is no figure" }),
              count: z.number().optional(),
              sum: z.number().optional(),
            }),
          )
          .meta({ description: "Present values, one for each combination of labels" }),
        series_omitted: z.int().meta({ description: "Further series, which /metrics tells" }),
      }),
    ),
  })
  .meta({ id: "MetricsInfo" });

export const logStatsSchema = z.looseObject({}).meta({ id: "LogStats", description: "Log files, sizes and counts" });

const severity = z.string().regex(/^[a-z]{1,32}$/);
const address = z.email().max(254);
const addresses = z.array(address).min(1).max(100);

export const recipientsSchema = z
  .union([addresses, z.record(severity, addresses).refine((value) => Object.keys(value).length > 0, "is empty")])
  .meta({
    id: "AlertRecipients",
    description: "E-mail addresses for every severity, or by severity (critical, warning)",
    examples: [["your-email@example.com", "team@example.com"], { critical: ["oncall@example.com"] }],
  });

/** Percent, seconds or a share, as the name says. */
const percent = z.number().min(0).max(100);
const thresholds = {
  cpu_threshold: percent,
  memory_threshold: percent,
  disk_threshold: percent,
  error_rate_threshold: percent,
  response_time_threshold: z.number().positive().max(3600),
  confidence_threshold: z.number().min(0).max(1),
  queue_threshold: percent,
  feedback_accuracy_threshold: z.number().min(0).max(1),
};

export const thresholdsSchema = z
  .strictObject(thresholds)
  .partial()
  .refine((value) => Object.keys(value).length > 0, "name at least one threshold")
  .meta({
    id: "AlertThresholds",
    description:
      "CPU, memory, free disk space, error rate and queue in percent, response time in seconds, confidence and accuracy by feedback 0 to 1",
    examples: [{ cpu_threshold: 85, memory_threshold: 75, error_rate_threshold: 30 }],
  });

export const alertConfigSchema = z
  .looseObject({
    recipients: z.record(z.string(), z.array(z.string())).optional(),
    thresholds: z.record(z.string(), z.number()).optional(),
    change: z
      .object({
        outcome: z.enum(["applied", "unchanged"]),
        in_force: z.boolean().meta({ description: "Whether the program that loads the file is known to run it" }),
        unverified: z.array(z.string()).meta({ description: "What could not be looked at, and why" }),
      })
      .optional()
      .meta({ description: "In the answer to a change: how it went" }),
  })
  .meta({ id: "AlertConfig", description: "What is in force now" });

export const alertTestSchema = z
  .object({
    ok: z.boolean(),
    message: z.string(),
    checks: z.array(z.object({ name: z.string(), ok: z.boolean(), message: z.string() })),
  })
  .meta({ id: "AlertTest" });
