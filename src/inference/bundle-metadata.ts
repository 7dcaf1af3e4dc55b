import { z } from "zod";

const unit = z.number().min(0).max(1);

/** metadata.json of a model bundle: everything that serving and evaluation need beside model.onnx. */
export const bundleMetadataSchema = z.strictObject({
  formatVersion: z.literal(1),
  /** Folder name: {model}_{trainer|tuned|distributed}_{timestamp}. */
  name: z.string(),
  createdAt: z.iso.datetime(),
  model: z.strictObject({
    architecture: z.string(),
    parameterCount: z.number().int().positive(),
    /** Input "images": float32 [N, 3, height, width], normalised as `preprocessing` says. Output "logits": float32 [N, classes]. */
    inputName: z.literal("images"),
    outputName: z.literal("logits"),
  }),
  classes: z.array(z.string()).min(2),
  preprocessing: z.strictObject({
    height: z.number().int().positive(),
    width: z.number().int().positive(),
    resize: z.enum(["bilinear"]),
    /** Per channel R, G, B on the scale 0..1: (x / 255 - mean) / std. */
    mean: z.tuple([z.number(), z.number(), z.number()]),
    std: z.tuple([z.number().positive(), z.number().positive(), z.number().positive()]),
  }),
  dataset: z.strictObject({ name: z.string(), synthetic: z.boolean(), digest: z.string() }),
  metrics: z.strictObject({
    validation: z.strictObject({ accuracy: unit, loss: z.number(), macroF1: unit }).optional(),
    test: z
      .strictObject({ accuracy: unit, loss: z.number(), macroF1: unit, accuracyWithTta: unit.optional() })
      .optional(),
  }),
  calibration: z.strictObject({
    /** Logits are divided by this before the softmax; fitted on validation data (Guo et al. 2017). */
    temperature: z.number().positive(),
  }),
  /** Softmax reference on validation data for drift detection. */
  reference: z.strictObject({
    count: z.number().int().nonnegative(),
    /** Relative frequency of each predicted class. */
    classFrequency: z.array(z.number()),
    meanConfidence: z.number(),
    /** Histogram of the top probability: 20 equal bins over 0..1. */
    confidenceHistogram: z.array(z.number().int().nonnegative()).length(20),
    /** Some of the images, in the same order: calibrated probabilities, and what driftFeatures makes of logits and image. */
    samples: z
      .strictObject({ probabilities: z.array(z.array(unit)), features: z.array(z.array(z.number())) })
      .optional(),
  }),
  training: z.strictObject({
    seed: z.number().int(),
    epochs: z.number().int().nonnegative(),
    runId: z.string().optional(),
    gitRevision: z.string().optional(),
    /** The resolved configuration, as saved with the run. */
    config: z.record(z.string(), z.unknown()),
  }),
  /** SHA-256 of model.onnx, hex: checked on loading. */
  modelSha256: z.string().regex(/^[0-9a-f]{64}$/),
});

export type BundleMetadata = z.infer<typeof bundleMetadataSchema>;
