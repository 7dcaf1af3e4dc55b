import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { v2Errors } from "../../http/errors/open-inference-error.ts";
import { validatorOfJsonBodies } from "../../http/validation.ts";
import { identityOf } from "../../inference/model-identity.ts";
import type { Admission } from "../admission.ts";
import type { RouteContext } from "../dependencies.ts";
import type { LoadedModel } from "../model-repository.ts";
import type { PredictionService } from "../prediction-service.ts";
import { imageBytesSchema } from "../schemas.ts";
import { batchBodyLimit } from "../upload.ts";
import { inferBody } from "./binary-body.ts";
import {
  inferHeadersSchema,
  inferRequestSchema,
  inferResponseSchema,
  modelMetadataSchema,
  modelReadySchema,
} from "./schemas.ts";
import { encodeBinary, outputTensor, readInput, requestedOutputs } from "./tensors.ts";

export const modelParams = z.object({ model: z.string().min(1).max(200) });
export const versionParams = modelParams.extend({ version: z.string().min(1).max(100) });

/** The two addresses of a model: with a version, and without one. */
export const modelPaths = [
  { prefix: "/v2/models/:model", params: modelParams },
  { prefix: "/v2/models/:model/versions/:version", params: versionParams },
] as const;

export interface ModelParams {
  readonly model: string;
  readonly version?: string;
}

export const selectorOf = ({ model, version }: ModelParams) => ({ name: model, version });

const failures = v2Errors(400, 401, 403, 404, 408, 413, 415, 421, 429, 500, 503);

/** /v2/models/{name}[/versions/{version}], /ready and /infer. */
export const v2InferenceRoutes = (
  { models, limits }: RouteContext,
  { service, admission }: { readonly service: PredictionService; readonly admission: Admission },
): FastifyPluginAsyncZod => {
  return async (app) => {
    for (const { prefix, params } of modelPaths) {
      app.route({
        method: "GET",
        url: prefix,
        schema: {
          summary: "Model metadata",
          tags: ["open inference protocol"],
          params,
          response: { 200: modelMetadataSchema, ...v2Errors(400, 404, 421) },
        },
        handler: async (request) => metadataOf(models.find(selectorOf(request.params)), models.loaded),
      });
      app.route({
        method: "GET",
        url: `${prefix}/ready`,
        schema: {
          summary: "Whether the model answers",
          tags: ["open inference protocol"],
          params,
          response: { 200: modelReadySchema, 503: modelReadySchema, ...v2Errors(400, 404, 421) },
        },
        handler: async (request, reply) => {
          const ready = models.find(selectorOf(request.params)).classifier.readiness !== "down";
          return reply.code(ready ? 200 : 503).send({ name: request.params.model, ready });
        },
      });
      app.route({
        method: "POST",
        url: `${prefix}/infer`,
        config: { access: "predict" },
        onRequest: admission.enter,
        bodyLimit: batchBodyLimit(limits),
        schema: {
          summary: "Inference",
          description:
            'The input "images" is UINT8 [N, 3, height, width] (values 0 to 255) or BYTES [N] (an image file each, in JSON ' +
            "as base64). Outputs: probabilities and logits, FP32 [N, classes], and labels, BYTES [N].",
          tags: ["open inference protocol"],
          params,
          headers: inferHeadersSchema,
          body: {
            content: {
              "application/json": { schema: inferRequestSchema },
              "application/octet-stream": { schema: imageBytesSchema.describe("JSON followed by binary tensor data") },
            },
          },
          response: { 200: inferResponseSchema, ...failures },
        },
        validatorCompiler: validatorOfJsonBodies,
        handler: async (request, reply) => {
          const { request: body, binary } = inferBody(request);
          const outputs = requestedOutputs(body);
          const { model, results } = await service.answer(
            request,
            reply,
            selectorOf(request.params),
            async ({ bundle, classifier }) => {
              const images = await readInput(body, {
                preprocessing: bundle.metadata.preprocessing,
                maxImages: limits.maxImagesPerRequest,
                maxBytesPerImage: limits.maxUploadBytes,
                binary,
              });
              return images.map(
                (image) => (call) =>
                  image.kind === "encoded"
                    ? classifier.classify(image.bytes, call)
                    : classifier.classifyImage(image.image, call),
              );
            },
          );
          const { classes, name } = model.bundle.metadata;
          const tensors = outputs.map((output) => outputTensor(output, results, classes.length));
          const blobs = tensors.map((output) => (output.binary ? encodeBinary(output) : undefined));
          const answer = {
            model_name: request.params.model,
            model_version: identityOf(name).version,
            id: body.id ?? request.id,
            outputs: tensors.map(({ name: output, datatype, shape, values }, i) => ({
              name: output,
              datatype,
              shape,
              ...(blobs[i] === undefined ? { data: values } : { parameters: { binary_data_size: blobs[i].length } }),
            })),
          };
          if (blobs.every((blob) => blob === undefined)) return answer;
          const json = Buffer.from(JSON.stringify(answer));
          return reply
            .header("inference-header-content-length", String(json.length))
            .type("application/octet-stream")
            .send(Buffer.concat([json, ...blobs.filter((blob) => blob !== undefined)]) as never);
        },
      });
    }
  };
};

function metadataOf({ bundle: { metadata } }: LoadedModel, loaded: readonly LoadedModel[]) {
  const { name } = identityOf(metadata.name);
  const { height, width } = metadata.preprocessing;
  const classes = metadata.classes.length;
  const identities = loaded.map(({ bundle }) => identityOf(bundle.metadata.name));
  return {
    name,
    versions: identities.filter((identity) => identity.name === name).map(({ version }) => version),
    platform: "onnxruntime_onnx",
    inputs: [{ name: "images", datatype: "UINT8", shape: [-1, 3, height, width] }],
    outputs: [
      { name: "probabilities", datatype: "FP32", shape: [-1, classes] },
      { name: "logits", datatype: "FP32", shape: [-1, classes] },
      { name: "labels", datatype: "BYTES", shape: [-1] },
    ],
  };
}
