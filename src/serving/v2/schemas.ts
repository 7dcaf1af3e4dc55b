import { z } from "zod";
import { isPackedBytes, type PackedBytes } from "../json/compact-json.ts";
import { timeoutHeaderSchema } from "../schemas.ts";

// Open Inference Protocol, version 2: https://github.com/kserve/open-inference-protocol, with the extensions
// binary_tensor_data, model_repository and statistics. Names of fields are the protocol's.

export const serverMetadataSchema = z
  .object({ name: z.string(), version: z.string(), extensions: z.array(z.string()) })
  .meta({ id: "V2ServerMetadata" });

export const liveSchema = z.object({ live: z.boolean() }).meta({ id: "V2Live" });
export const readySchema = z.object({ live: z.boolean(), ready: z.boolean() }).meta({ id: "V2Ready" });

const tensorMetadata = z.object({ name: z.string(), datatype: z.string(), shape: z.array(z.number().int()) });
export const modelMetadataSchema = z
  .object({
    name: z.string(),
    versions: z.array(z.string()),
    platform: z.string(),
    inputs: z.array(tensorMetadata),
    outputs: z.array(tensorMetadata),
  })
  .meta({ id: "V2ModelMetadata" });

export const modelReadySchema = z.object({ name: z.string(), ready: z.boolean() }).meta({ id: "V2ModelReady" });

const parameters = z.record(z.string().max(200), z.union([z.string(), z.number(), z.boolean()])).optional();

/** Pixels of a large body come packed. */
export type TensorData = readonly unknown[] | PackedBytes;
const tensorData = z
  .unknown()
  .refine((value) => Array.isArray(value) || isPackedBytes(value), "Invalid input: expected array");

export const inferRequestSchema = z
  .object({
    id: z.string().max(200).optional(),
    parameters,
    inputs: z
      .array(
        z.object({
          name: z.string(),
          shape: z.array(z.number().int().nonnegative()).max(8),
          datatype: z.string(),
          parameters,
          data: tensorData.optional().meta({
            type: "array",
            items: {},
            description: "Numbers, flat or nested; base64 of image files for BYTES",
          }),
        }),
      )
      .min(1)
      .max(4),
    outputs: z
      .array(z.object({ name: z.string(), parameters }))
      .max(8)
      .optional(),
  })
  .meta({
    id: "V2InferRequest",
    examples: [
      {
        id: "42",
        inputs: [
          {
            name: "images",
            shape: [1],
            datatype: "BYTES",
            data: ["iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="],
          },
        ],
        outputs: [{ name: "probabilities" }],
      },
    ],
  });

export const inferHeadersSchema = z.looseObject({
  ...timeoutHeaderSchema.shape,
  "inference-header-content-length": z
    .string()
    .optional()
    .meta({ description: "Length of the JSON, when binary tensor data follow it" }),
});

export type InferRequest = z.output<typeof inferRequestSchema>;

export const inferResponseSchema = z
  .object({
    model_name: z.string(),
    model_version: z.string(),
    id: z.string(),
    outputs: z.array(
      z.object({
        name: z.string(),
        shape: z.array(z.number().int()),
        datatype: z.string(),
        parameters: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
        data: z.array(z.union([z.number(), z.string()])).optional(),
      }),
    ),
  })
  .meta({ id: "V2InferResponse" });

const duration = z.object({ count: z.number().int(), ns: z.number().int() });
export const statisticsSchema = z
  .object({
    model_stats: z.array(
      z.object({
        name: z.string(),
        version: z.string(),
        last_inference: z.number().int(),
        inference_count: z.number().int(),
        execution_count: z.number().int(),
        inference_stats: z.object({
          success: duration,
          fail: duration,
          queue: duration,
          compute_input: duration,
          compute_infer: duration,
          compute_output: duration,
        }),
        batch_stats: z.array(
          z.object({
            batch_size: z.number().int(),
            compute_input: duration,
            compute_infer: duration,
            compute_output: duration,
          }),
        ),
      }),
    ),
  })
  .meta({ id: "V2Statistics" });

export const indexRequestSchema = z
  .object({ ready: z.boolean().optional().meta({ description: "Only models that can answer" }) })
  .nullish();

export const indexSchema = z.array(
  z.object({
    name: z.string(),
    version: z.string(),
    state: z.enum(["READY", "UNAVAILABLE"]),
    reason: z.string(),
  }),
);

export const loadRequestSchema = z
  .object({
    parameters: z
      .strictObject({
        version: z.string().max(100).optional().meta({ description: "Default: the newest" }),
        activate: z.boolean().optional().meta({
          description: "true (default): replaces the model that answers by default; false: answers beside it",
        }),
      })
      .optional(),
  })
  .nullish();

export const unloadRequestSchema = z
  .object({ parameters: z.strictObject({ version: z.string().max(100).optional() }).optional() })
  .nullish();

export const changedSchema = z
  .object({ name: z.string(), version: z.string(), state: z.enum(["READY", "UNAVAILABLE"]) })
  .meta({ id: "V2ModelState" });
