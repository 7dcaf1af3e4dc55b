import { z } from "zod";
import { type ClientErrorCode, errorStatus } from "./error-status.ts";

// The one source of request and response types, validation and the OpenAPI document.

const seconds = z.number().nonnegative();
const percent = z.number().min(0).max(100).nullable();
const probability = z.number().min(0).max(1);

export const apiErrorSchema = z
  .object({
    code: z
      .enum(Object.keys(errorStatus) as [ClientErrorCode])
      .meta({ description: "Stable machine-readable reason", example: "IMAGE_CORRUPT" }),
    message: z.string().meta({ description: "What is wrong and what to do about it" }),
    request_id: z.string(),
    detail: z.string().meta({ description: "The same as message, under the name that older clients read" }),
  })
  .meta({ id: "Error", description: "The one shape of every error answer" });

export type ApiError = z.infer<typeof apiErrorSchema>;

const syntheticFields = {
  synthetic_data: z.boolean().meta({ description: "True when the model was trained on generated images" }),
  notice: z.string().optional().meta({ description: "Present when synthetic_data is true: what that means" }),
};

export const predictBodySchema = z
  .object({
    file: z.file().meta({ description: "One image: JPEG, PNG, WebP or GIF (first frame)" }),
  })
  .meta({ id: "PredictBody" });

export const predictionSchema = z
  .object({
    predicted_class: z.number().int().nonnegative().meta({ description: "Index of the class in /classes" }),
    predicted_label: z.string(),
    confidence: probability.meta({ description: "Calibrated probability of predicted_label" }),
    inference_time_seconds: seconds.meta({ description: "Computing time of the model run" }),
    total_time_seconds: seconds.meta({ description: "Upload, decoding, waiting and computing" }),
    all_probabilities: z.record(z.string(), probability).meta({ description: "Probability of each class" }),
    request_id: z.string(),
    model: z.string(),
    ...syntheticFields,
  })
  .meta({ id: "Prediction" });

export type Prediction = z.infer<typeof predictionSchema>;

export const systemSchema = z
  .object({
    cpu_percent: percent,
    cpu_count: z.number().int().positive(),
    load_average_1m: z.number().nullable(),
    memory_percent: percent,
    memory_total_bytes: z.number(),
    memory_available_bytes: z.number(),
    disk_percent: percent,
    disk_total_bytes: z.number().nullable(),
    disk_free_bytes: z.number().nullable(),
    process_memory_bytes: z.number(),
    source: z.enum(["proc", "os"]),
  })
  .meta({ id: "SystemMetrics", description: "A figure that the platform can't give is null" });

export const healthSchema = z
  .object({
    status: z.literal("healthy"),
    model_loaded: z.literal(true),
    model: z.string(),
    version: z.string(),
    uptime_seconds: seconds,
    queue_length: z.number().int().nonnegative(),
    max_upload_bytes: z.number().int().positive(),
    ...syntheticFields,
    system: systemSchema,
  })
  .meta({ id: "Health" });

export const classesSchema = z
  .object({ classes: z.array(z.string()), count: z.number().int().positive() })
  .meta({ id: "Classes" });

export const modelSummarySchema = z
  .object({
    name: z.string(),
    architecture: z.string(),
    parameter_count: z.number().int().positive(),
    created_at: z.string(),
    dataset: z.string(),
    synthetic_data: z.boolean(),
    class_count: z.number().int().positive(),
    input_size: z
      .tuple([z.number().int().positive(), z.number().int().positive()])
      .meta({ description: "Height and width in pixels" }),
    test_accuracy: probability.nullable(),
    test_accuracy_with_tta: probability.nullable(),
    validation_accuracy: probability.nullable(),
    active: z.boolean().meta({ description: "True for the model that /predict uses" }),
  })
  .meta({ id: "ModelSummary" });

export const modelsSchema = z
  .object({
    active: z.string(),
    models: z.array(modelSummarySchema).meta({ description: "Newest first" }),
    damaged: z.array(z.object({ name: z.string(), message: z.string() })),
  })
  .meta({ id: "Models" });
