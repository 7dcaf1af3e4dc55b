import { z } from "zod";
import { pathText } from "../path-text.ts";

const parameterValue = z.union([z.string(), z.number(), z.boolean(), z.null()]);

const condition = z.record(z.string().min(1), z.union([parameterValue, z.array(parameterValue).min(1)]));

const searchRange = z.union([
  z.strictObject({
    min: z.number(),
    max: z.number(),
    scale: z.enum(["linear", "log"]).optional(),
    when: condition.optional(),
  }),
  z.strictObject({ values: z.array(parameterValue).min(1), when: condition.optional() }),
]);

const searchOptions = z
  .strictObject({
    algorithm: z
      .enum(["tpe", "random", "quasi_random", "grid"])
      .default("tpe")
      .describe("How hyperparameters are chosen: by what was good so far, at random, evenly, or every combination."),
    startup_trials: z.int().min(1).max(10_000).default(10).describe("With tpe: random trials before it begins."),
    grid_points: z.int().min(1).max(1000).default(5).describe("With grid: points of each {min, max}."),
  })
  .prefault({})
  .describe("Which hyperparameters are tried.");

const schedulerOptions = z
  .strictObject({
    name: z
      .enum(["asha", "hyperband", "median", "none"])
      .default("asha")
      .describe("Which trials are stopped early: successive halving, Hyperband, those below the median, or none."),
    mode: z
      .enum(["stopping", "promotion"])
      .default("stopping")
      .describe(
        "With asha and hyperband: a trial runs on until it is too bad, or halts at each rung until it is good enough.",
      ),
    grace_period: z.int().min(1).max(100_000).default(1).describe("Epochs that every trial gets."),
    reduction_factor: z
      .number()
      .gt(1)
      .max(100)
      .default(4)
      .describe("With asha and hyperband: one trial in so many gets over a rung, and the next rung is so much higher."),
    startup_trials: z
      .int()
      .min(0)
      .max(10_000)
      .default(5)
      .describe("With median: complete trials before any is stopped."),
  })
  .prefault({})
  .describe("Which trials are stopped before their end.");

const rayOptions = z
  .strictObject({
    address: z
      .string()
      .regex(/^https?:\/\/\S+$/, "must be an address such as http://127.0.0.1:8265")
      .default("http://127.0.0.1:8265")
      .describe("Address of the Ray dashboard, which takes jobs."),
    token_file: pathText()
      .nullable()
      .default(null)
      .describe("File with the token of a cluster that has token authentication. null: it has none."),
    node_modules: z
      .string()
      .min(1)
      .nullable()
      .default(null)
      .describe("Where this package's installed dependencies lie on every node. null: each node installs them by npm."),
    node_command: z.string().min(1).default("node").describe("How Node is called on the nodes."),
  })
  .prefault({})
  .describe("With the executor ray: the cluster that trials run on.");

export const rayTuneSection = z
  .strictObject({
    use_ray_tune: z.boolean().default(false).describe("Search for good hyperparameters when `train` is called."),
    num_samples: z.int().min(1).max(100_000).default(10).describe("Number of trials."),
    time_budget_s: z
      .number()
      .positive()
      .nullable()
      .default(null)
      .describe("Seconds after which the sweep ends, pauses before a --resume not counted. null: no limit."),
    flops_budget: z
      .number()
      .positive()
      .nullable()
      .default(null)
      .describe("Floating-point operations of all trials after which the sweep ends. null: no limit."),
    metric: z
      .string()
      .min(1)
      .default("val_accuracy")
      .describe("What is made as good as possible: any metric that a training logs at the end of an epoch."),
    mode: z
      .enum(["max", "min"])
      .nullable()
      .default(null)
      .describe("Whether much of it is good. null: min for losses, errors and seconds, max for the rest."),
    executor: z
      .enum(["local", "ray"])
      .default("local")
      .describe("Where trials run: as processes of this machine, or as jobs of a Ray cluster."),
    max_concurrent: z
      .int()
      .min(1)
      .nullable()
      .default(null)
      .describe("Most trials at once. null: as many as there is room for."),
    max_failures: z
      .int()
      .min(0)
      .max(1000)
      .default(2)
      .describe("How often a trial that was killed or lost with its machine is started again."),
    heartbeat_timeout_s: z
      .number()
      .min(5)
      .default(120)
      .describe("Seconds without a sign of life after which a trial is taken for dead and ended."),
    resources_per_trial: z
      .strictObject({
        cpu: z.number().positive().default(2).describe("Cores for each trial."),
        gpu: z.number().min(0).default(0).describe("GPUs for each trial."),
      })
      .prefault({})
      .describe("What one trial occupies."),
    search: searchOptions,
    scheduler: schedulerOptions,
    parameters: z
      .record(z.string().min(1), searchRange)
      .default({
        optimizer: { values: ["adamw"] },
        learning_rate: { min: 0.0001, max: 0.01 },
        weight_decay: { min: 0.0001, max: 0.1 },
        batch_size: { values: [32, 64, 128] },
        dropout_rate: { min: 0.1, max: 0.5 },
      })
      .describe(
        "Search space: for each hyperparameter {min, max} or {values}. A name is a key of this file, or its last part. " +
          "Ranges of at least a factor of ten are searched on a log scale unless scale says linear; `when` makes a " +
          "parameter depend on another one.",
      ),
    ray: rayOptions,
  })
  .describe("Hyperparameter tuning.");
