import { z } from "zod";

const searchRange = z.union([
  z.strictObject({ min: z.number(), max: z.number() }),
  z.strictObject({ values: z.array(z.union([z.string(), z.number(), z.boolean()])).min(1) }),
]);

export const rayTuneSection = z
  .strictObject({
    use_ray_tune: z.boolean().default(false).describe("Search for good hyperparameters before training."),
    num_samples: z.int().min(1).max(100_000).default(10).describe("Number of trials."),
    resources_per_trial: z
      .strictObject({
        cpu: z.number().positive().default(2).describe("Cores for each trial."),
        gpu: z.number().min(0).default(0).describe("GPUs for each trial."),
      })
      .prefault({})
      .describe("What one trial occupies."),
    parameters: z
      .record(z.string().min(1), searchRange)
      .default({
        optimizer: { values: ["adamw"] },
        learning_rate: { min: 0.0001, max: 0.01 },
        weight_decay: { min: 0.0001, max: 0.1 },
        batch_size: { values: [32, 64, 128] },
        dropout_rate: { min: 0.1, max: 0.5 },
      })
      .describe("Search space: for each hyperparameter {min, max} or {values}."),
  })
  .describe("Hyperparameter tuning.");
