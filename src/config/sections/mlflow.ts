import { z } from "zod";

export const mlflowSection = z
  .strictObject({
    tracking_uri: z
      .string()
      .min(1)
      .nullable()
      .default(null)
      .describe("Where runs are recorded. null: the local store runs/tracking.sqlite."),
    experiment_name: z.string().min(1).max(500).default("cifar_classification").describe("Experiment that runs go to."),
    log_model: z.boolean().default(true).describe("Keep the model bundle among the artifacts of the run."),
    register_model: z.boolean().default(false).describe("Enter the model into the registry under model_name."),
    model_name: z.string().min(1).max(255).default("cifar_classifier").describe("Name in the model registry."),
  })
  .describe("Experiment tracking.");
