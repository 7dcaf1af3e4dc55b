import { z } from "zod";

// The one source of request and response types, validation and the OpenAPI document.

const seconds = z.number().nonnegative();
const percent = z.number().min(0).max(100).nullable();
const probability = z.number().min(0).max(1);

const syntheticFields = {
  synthetic_data: z.boolean().meta({ description: "True when the model was trained on generated images" }),
  notice: z.string().optional().meta({ description: "Present when synthetic_data is true: what that means" }),
};

const formats = "JPEG, PNG, WebP, GIF (first frame), AVIF or BMP";

export const predictFormSchema = z
  .object({ file: z.file().meta({ description: `One image: ${formats}` }) })
  .meta({ id: "PredictForm" });

const base64Image = z
  .string()
  .min(1)
  .meta({ description: `An image file (${formats}) in base64; a data: URL is taken too` });

export const predictJsonSchema = z.strictObject({ image: base64Image }).meta({
  id: "PredictJson",
  examples: [
    { image: "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==" },
  ],
});

export const imageBytesSchema = z.file().meta({ description: `The bytes of one image: ${formats}` });

export const batchFormSchema = z
  .object({
    file: z
      .array(z.file())
      .min(1)
      .meta({ description: `Images: ${formats}` }),
  })
  .meta({ id: "BatchForm" });

export const batchJsonSchema = z.strictObject({ images: z.array(base64Image).min(1) }).meta({ id: "BatchJson" });

export const timeoutHeaderSchema = z.looseObject({
  "x-timeout-ms": z
    .string()
    .optional()
    .meta({ description: "Milliseconds that the answer may take, where they are less than the server's limit" }),
});

export const predictQuerySchema = z.object({
  top_k: z.coerce
    .number()
    .int()
    .min(1)
    .max(1000)
    .default(3)
    .meta({ description: "Length of top_k in the answer; at most the number of classes" }),
  model: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .meta({ description: "Name of a loaded model (see /models); default: the active one" }),
  version: z.string().min(1).max(100).optional().meta({ description: "Its version; default: the newest loaded" }),
});

const rankedSchema = z.object({
  predicted_class: z.number().int().nonnegative(),
  label: z.string(),
  probability,
});

const predictionFields = {
  predicted_class: z.number().int().nonnegative().meta({ description: "Index of the class in /classes" }),
  predicted_label: z.string(),
  confidence: probability.meta({ description: "Calibrated probability of predicted_label" }),
  form: z
    .enum(["portable", "machine", "int8"])
    .meta({ description: "The form of the network that answered: model.onnx, one for this machine, or 8 bit" }),
  inference_time_seconds: seconds.meta({ description: "Computing time of the model run" }),
  queue_time_seconds: seconds.meta({ description: "Waiting for the model run" }),
  decode_time_seconds: seconds.meta({ description: "Decoding and resizing of the image" }),
  top_k: z.array(rankedSchema).meta({ description: "The most probable classes, most probable first" }),
  all_probabilities: z.record(z.string(), probability).meta({ description: "Probability of each class" }),
  request_id: z.string().meta({ description: "For POST /feedback" }),
};

const modelFields = { model: z.string(), model_version: z.string(), ...syntheticFields };
const totalField = {
  total_time_seconds: seconds.meta({ description: "Upload, decoding, waiting and computing" }),
};

export const predictionSchema = z
  .object({ ...predictionFields, ...totalField, ...modelFields })
  .meta({ id: "Prediction" });

export type Prediction = z.infer<typeof predictionSchema>;

export const batchPredictionSchema = z
  .object({
    predictions: z.array(z.object(predictionFields)).meta({ description: "In the order of the images" }),
    count: z.number().int().positive(),
    ...totalField,
    request_id: z.string(),
    ...modelFields,
  })
  .meta({ id: "BatchPrediction" });

export const feedbackBodySchema = z
  .strictObject({
    request_id: z
      .string()
      .min(1)
      .max(160)
      .meta({ description: "Of the prediction; images of a batch have one each", example: "5f0c7c52-6a8e" }),
    true_label: z.string().min(1).max(200).optional().meta({ description: "The right class by name", example: "cat" }),
    true_class: z.number().int().nonnegative().optional().meta({ description: "Or by its index" }),
  })
  .refine(({ true_label: label, true_class: index }) => (label === undefined) !== (index === undefined), {
    message: "give either true_label or true_class",
  })
  .meta({ id: "FeedbackBody" });

export const feedbackSchema = z
  .object({
    request_id: z.string(),
    predicted_label: z.string(),
    true_label: z.string(),
    correct: z.boolean(),
    model: z.string(),
    live_accuracy: probability.meta({ description: "Share of right ones among the model's predictions with feedback" }),
    feedback_count: z.number().int().positive(),
  })
  .meta({ id: "Feedback" });

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
    source: z.enum(["cgroup", "proc", "os"]),
  })
  .meta({ id: "SystemMetrics", description: "A figure that the platform can't give is null" });

export const healthSchema = z
  .object({
    status: z.enum(["ready", "degraded", "down"]).meta({
      description:
        "ready: predictions are answered; degraded: they are, but a part of the inference workers fails; down (status " +
        "503): they are not",
    }),
    model_loaded: z.boolean().meta({ description: "Whether the model can answer" }),
    model: z.string(),
    version: z.string(),
    uptime_seconds: seconds,
    queue_length: z.number().int().nonnegative(),
    requests_in_flight: z.number().int().nonnegative(),
    live_accuracy: probability.nullable().meta({ description: "From POST /feedback; null without any" }),
    max_upload_bytes: z.number().int().positive(),
    ...syntheticFields,
    system: systemSchema,
  })
  .meta({ id: "Health" });

export const liveSchema = z.object({ status: z.literal("alive") }).meta({ id: "Live" });
export const readySchema = z.object({ status: z.literal("ready"), model: z.string() }).meta({ id: "Ready" });

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
    version: z.string(),
    forms: z
      .array(z.enum(["portable", "machine", "int8"]))
      .meta({ description: "Of a loaded model: the forms of its network that answer here" }),
    loaded: z.boolean().meta({ description: "True for models in memory, which answer by name" }),
    trained_epochs: z.number().int().nonnegative(),
    active: z.boolean().meta({ description: "True for the model that /predict uses" }),
  })
  .meta({ id: "ModelSummary" });

export const modelsSchema = z
  .object({
    active: z.string(),
    models: z.array(modelSummarySchema).meta({ description: "Newest first" }),
    links: z
      .object({ tracking: z.string().optional(), grafana: z.string().optional() })
      .meta({ description: "Other parts of the stack, where they are known" }),
    damaged: z.array(z.object({ name: z.string(), message: z.string() })),
  })
  .meta({ id: "Models" });
