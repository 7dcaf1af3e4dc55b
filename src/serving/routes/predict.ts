import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import type { z } from "zod";
import { PipelineError } from "../../base/errors.ts";
import { errorResponses } from "../../http/errors/api-error-schema.ts";
import { validatorOfJsonBodies } from "../../http/validation.ts";
import type { Classification } from "../../inference/classifier.ts";
import { identityOf } from "../../inference/model-identity.ts";
import { topK } from "../../inference/softmax.ts";
import type { Admission } from "../admission.ts";
import { type RouteContext, syntheticFields } from "../dependencies.ts";
import type { LoadedModel, ModelSelector } from "../model-repository.ts";
import { type PredictionService, predictionId } from "../prediction-service.ts";
import {
  batchFormSchema,
  batchJsonSchema,
  batchPredictionSchema,
  imageBytesSchema,
  type Prediction,
  predictFormSchema,
  predictionSchema,
  predictJsonSchema,
  predictQuerySchema,
  timeoutHeaderSchema,
} from "../schemas.ts";
import { batchBodyLimit, readImages } from "../upload.ts";

const rawTypes = ["image/*", "application/octet-stream"] as const;
const failures = errorResponses(400, 401, 403, 404, 408, 413, 415, 421, 429, 500, 503);

export interface PredictRouteParts {
  readonly service: PredictionService;
  readonly admission: Admission;
}

/** POST /predict and POST /predict/batch: encoded images to probabilities. */
export const predictRoutes = (
  { limits }: RouteContext,
  { service, admission }: PredictRouteParts,
): FastifyPluginAsyncZod => {
  return async (app) => {
    app.route({
      method: "POST",
      url: "/predict",
      config: { access: "predict" },
      onRequest: admission.enter,
      schema: {
        summary: "Classify one image",
        description:
          "Send the image as the multipart form field `file` (`curl -F file=@image.jpg URL/predict`), as the raw body, " +
          "or in JSON as base64. The header `x-timeout-ms` asks for an answer within that time.",
        tags: ["inference"],
        querystring: predictQuerySchema,
        headers: timeoutHeaderSchema,
        body: {
          content: {
            "multipart/form-data": { schema: predictFormSchema },
            "application/json": { schema: predictJsonSchema },
            ...Object.fromEntries(rawTypes.map((type) => [type, { schema: imageBytesSchema }])),
          },
        },
        response: { 200: predictionSchema, ...failures },
      },
      validatorCompiler: validatorOfJsonBodies,
      handler: async (request, reply): Promise<Prediction> => {
        const { top_k: k, model: name, version } = request.query;
        const { model, results, totalSeconds } = await service.answer(
          request,
          reply,
          selectorOf(name, version),
          async ({ classifier }) => {
            const images = await readImages(request, { maxBytes: limits.maxUploadBytes, maxFiles: 1 }, (body) => [
              (body as z.output<typeof predictJsonSchema>).image,
            ]);
            return images.map((bytes) => (call) => classifier.classify(bytes, call));
          },
        );
        return {
          ...predictionOf(model, results[0]!, k, request.id),
          total_time_seconds: totalSeconds,
          ...modelFields(model),
        };
      },
    });
    app.route({
      method: "POST",
      url: "/predict/batch",
      config: { access: "predict" },
      onRequest: admission.enter,
      bodyLimit: batchBodyLimit(limits),
      schema: {
        summary: "Classify several images",
        description:
          "Several files in the multipart form field `file` (`curl -F file=@a.jpg -F file=@b.png URL/predict/batch`), " +
          `or JSON with base64; at most ${limits.maxImagesPerRequest} images. One bad image refuses the request and is named.`,
        tags: ["inference"],
        querystring: predictQuerySchema,
        headers: timeoutHeaderSchema,
        body: {
          content: {
            "multipart/form-data": { schema: batchFormSchema },
            "application/json": { schema: batchJsonSchema },
          },
        },
        response: { 200: batchPredictionSchema, ...failures },
      },
      validatorCompiler: validatorOfJsonBodies,
      handler: async (request, reply) => {
        const { top_k: k, model: name, version } = request.query;
        const { maxUploadBytes: maxBytes, maxImagesPerRequest: maxFiles } = limits;
        const { model, results, totalSeconds } = await service.answer(
          request,
          reply,
          selectorOf(name, version),
          async ({ classifier }) => {
            const images = await readImages(request, { maxBytes, maxFiles }, (body) =>
              requireCount((body as z.output<typeof batchJsonSchema>).images, maxFiles),
            );
            return images.map((bytes) => (call) => classifier.classify(bytes, call));
          },
        );
        return {
          predictions: results.map((result, index) =>
            predictionOf(model, result, k, predictionId(request.id, index, results.length)),
          ),
          count: results.length,
          total_time_seconds: totalSeconds,
          request_id: request.id,
          ...modelFields(model),
        };
      },
    });
  };
};

function selectorOf(name: string | undefined, version: string | undefined): ModelSelector | undefined {
  if (name !== undefined) return { name, version };
  if (version === undefined) return undefined;
  throw new PipelineError("REQUEST_INVALID", "version was given without model", { remedy: "name the model too" });
}

function requireCount(images: readonly string[], max: number): readonly string[] {
  if (images.length <= max) return images;
  throw new PipelineError("REQUEST_INVALID", `the request has ${images.length} images, the limit is ${max}`, {
    remedy: "send them in several requests",
  });
}

function predictionOf({ bundle }: LoadedModel, result: Classification, k: number, requestId: string) {
  const { classes } = bundle.metadata;
  return {
    predicted_class: result.index,
    predicted_label: result.label,
    confidence: result.confidence,
    form: result.form,
    inference_time_seconds: result.inferenceSeconds,
    queue_time_seconds: result.queueSeconds,
    decode_time_seconds: result.decodeSeconds,
    top_k: topK(result.probabilities, k).map(({ index, probability }) => ({
      predicted_class: index,
      label: classes[index]!,
      probability,
    })),
    all_probabilities: Object.fromEntries(classes.map((name, i) => [name, result.probabilities[i]!])),
    request_id: requestId,
  };
}

function modelFields({ bundle: { metadata } }: LoadedModel) {
  return { model: metadata.name, model_version: identityOf(metadata.name).version, ...syntheticFields(metadata) };
}
