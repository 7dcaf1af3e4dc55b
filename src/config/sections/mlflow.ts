import { z } from "zod";
import { pathText } from "../path-text.ts";

export const mlflowSection = z
  .strictObject({
    tracking_uri: pathText()
      .nullable()
      .default(null)
      .describe(
        "Where runs are recorded. null: the local store runs/tracking.sqlite; otherwise an SQLite file, postgresql://…, or http(s)://… of an MLflow server.",
      ),
    experiment_name: z
      .string()
      .min(1)
      .max(500)
      .nullable()
      .default(null)
      .transform((name) => name ?? "cifar_classification")
      .describe(
        "Experiment that runs go to. null: the environment variable MLFLOW_EXPERIMENT_NAME when it is set, else " +
          "cifar_classification.",
      ),
    log_model: z.boolean().default(true).describe("Keep the model bundle among the artifacts of the run."),
    register_model: z.boolean().default(false).describe("Enter the model into the registry under model_name."),
    model_name: z.string().min(1).max(255).default("cifar_classifier").describe("Name in the model registry."),
    model_aliases: z
      .array(
        z
          .string()
          .regex(/^[\w-]+$/)
          .max(255),
      )
      .default([])
      .describe("Aliases that the registered version gets, such as challenger or champion."),
    step_interval: z.number().int().min(1).default(10).describe("Record the metrics of every Nth step."),
    system_metrics_seconds: z
      .number()
      .min(0)
      .max(3600)
      .default(10)
      .describe("Record CPU, memory and GPU use so often; 0: never."),
  })
  .describe("Experiment tracking.");
