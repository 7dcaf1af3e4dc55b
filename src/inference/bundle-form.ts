import { createHash } from "node:crypto";
import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { ignoreMissing, replaceFile, syncFolder } from "../base/durable.ts";
import { PipelineError } from "../base/errors.ts";
import { fileDigest } from "../base/file-digest.ts";
import { readJsonFile } from "../base/json-file.ts";
import { storageError } from "../base/storage-error.ts";
import type { Bundle } from "./bundle.ts";

const unit = z.number().min(0).max(1);
const digest = z.string().regex(/^[0-9a-f]{64}$/);
/** Of the model as it was trained and of this form, on the same images. */
const comparedAccuracy = z.strictObject({ float: unit, form: unit, images: z.int().positive() });

/** model.int8.json: another form of a bundle's network, which is valid because this file is there. */
export const bundleFormSchema = z.strictObject({
  formatVersion: z.literal(1),
  form: z.literal("int8"),
  createdAt: z.iso.datetime(),
  /** Of the model.onnx that it was made from. */
  modelSha256: digest,
  /** Of model.int8.onnx. */
  formSha256: digest,
  calibration: z.strictObject({
    method: z.enum(["minmax", "percentile", "entropy"]),
    /** Training images. */
    images: z.int().positive(),
  }),
  /** 7 where the processor that made it has no kernels that add products of 8 bits exactly. */
  weightBits: z.union([z.literal(7), z.literal(8)]),
  /** Layers whose rounding would have cost too much accuracy. */
  floatLayers: z.array(z.string()),
  /** Logits are divided by this before the softmax; fitted on validation data. */
  temperature: z.number().positive(),
  accuracy: z.strictObject({ validation: comparedAccuracy.optional(), test: comparedAccuracy }),
  /** Share of the test images that both put in the same class. */
  agreement: unit,
  /** Expected calibration error on the test images, at `temperature`. */
  calibrationError: z.number().min(0),
});

export type BundleFormMetadata = z.infer<typeof bundleFormSchema>;

/** A form of a bundle's network that was checked. */
export interface BundleForm {
  readonly modelPath: string;
  readonly metadata: BundleFormMetadata;
}

const formFile = "model.int8.onnx";
const formMetadataFile = "model.int8.json";
const maxMetadataBytes = 1024 * 1024;

/**
 * The other forms of a bundle's network, read whole and checked; none is an empty list.
 * @throws BUNDLE_DAMAGED, naming the file, when a form is incomplete, altered or made from another model.onnx
 */
export async function readForms({ directory, metadata }: Bundle): Promise<readonly BundleForm[]> {
  const path = join(directory, formMetadataFile);
  if ((await stat(path).catch(ignoreMissing)) === undefined) return [];
  const form = await readJsonFile(path, { schema: bundleFormSchema, maxBytes: maxMetadataBytes, damaged });
  if (form.modelSha256 !== metadata.modelSha256) {
    throw damaged(path, `it was made from a model.onnx with SHA-256 ${form.modelSha256}, not ${metadata.modelSha256}`);
  }
  const modelPath = join(directory, formFile);
  const model = await stat(modelPath).catch(ignoreMissing);
  if (!model?.isFile() || model.size === 0) throw damaged(modelPath, "the file is missing or empty");
  const actual = await fileDigest(modelPath);
  if (actual !== form.formSha256) {
    throw damaged(modelPath, `its SHA-256 is ${actual}, ${formMetadataFile} says ${form.formSha256}`);
  }
  return [{ modelPath, metadata: form }];
}

/**
 * Adds a form to a bundle, or replaces it. Its metadata goes first and comes last, so that at no moment there is a form
 * whose files do not belong together.
 * @throws INVALID_ARGUMENT when the metadata breaks its schema; STORAGE_FAILED
 */
export async function writeForm(
  { directory, metadata }: Bundle,
  modelBytes: Uint8Array,
  rest: Omit<BundleFormMetadata, "formSha256" | "modelSha256">,
): Promise<BundleForm> {
  const formSha256 = createHash("sha256").update(modelBytes).digest("hex");
  const parsed = bundleFormSchema.safeParse({ ...rest, modelSha256: metadata.modelSha256, formSha256 });
  if (!parsed.success) {
    throw new PipelineError("INVALID_ARGUMENT", `${formMetadataFile} is invalid: ${z.prettifyError(parsed.error)}`, {
      details: { directory },
    });
  }
  const path = join(directory, formMetadataFile);
  const modelPath = join(directory, formFile);
  try {
    await rm(path, { force: true });
    await syncFolder(directory);
  } catch (error) {
    throw storageError(error, path) ?? error;
  }
  await replaceFile(modelPath, modelBytes);
  await replaceFile(path, `${JSON.stringify(parsed.data, null, 2)}\n`);
  return { modelPath, metadata: parsed.data };
}

function damaged(path: string, reason: string, cause?: unknown): PipelineError {
  return new PipelineError("BUNDLE_DAMAGED", `model bundle file ${path} is damaged: ${reason}`, {
    remedy: `delete ${formMetadataFile}, or make the form anew with \`cifar quantize\``,
    details: { path },
    cause,
  });
}
