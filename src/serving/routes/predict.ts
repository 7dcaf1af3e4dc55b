import type { FastifyReply } from "fastify";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { PipelineError } from "../../base/errors.ts";
import { type RouteContext, syntheticFields } from "../dependencies.ts";
import { apiErrorSchema, type Prediction, predictBodySchema, predictionSchema } from "../schemas.ts";
import { readUpload } from "../upload.ts";

/** POST /predict: multipart field `file` to probabilities. */
export const predictRoute = ({ bundle, classifier, metrics, limits, now }: RouteContext): FastifyPluginAsyncZod => {
  const { metadata } = bundle;
  return async (app) => {
    app.route({
      method: "POST",
      url: "/predict",
      schema: {
        summary: "Classify one image",
        description: "Send the image as the multipart form field `file`: `curl -F file=@image.jpg URL/predict`.",
        tags: ["inference"],
        consumes: ["multipart/form-data"],
        body: predictBodySchema,
        response: {
          200: predictionSchema,
          400: apiErrorSchema,
          413: apiErrorSchema,
          415: apiErrorSchema,
          503: apiErrorSchema,
        },
      },
      // The body is a stream that the handler reads: there is no parsed body to validate.
      validatorCompiler: () => (value) => ({ value }),
      handler: async (request, reply): Promise<Prediction> => {
        const started = now();
        const cancel = cancellation(reply, limits.predictTimeoutMs);
        try {
          const bytes = await readUpload(request, "file", limits.maxUploadBytes);
          const result = await classifier.classify(bytes, cancel.signal);
          metrics.observePrediction(result);
          return {
            predicted_class: result.index,
            predicted_label: result.label,
            confidence: result.confidence,
            inference_time_seconds: result.inferenceSeconds,
            total_time_seconds: (now() - started) / 1000,
            all_probabilities: Object.fromEntries(metadata.classes.map((name, i) => [name, result.probabilities[i]!])),
            request_id: request.id,
            model: metadata.name,
            ...syntheticFields(metadata),
          };
        } finally {
          cancel.clear();
        }
      },
    });
  };
};

/** Aborts when the time is up or the client has gone. */
function cancellation(reply: FastifyReply, timeoutMs: number): { signal: AbortSignal; clear: () => void } {
  const controller = new AbortController();
  const timer = setTimeout(() => {
    controller.abort(
      new PipelineError("DEADLINE_EXCEEDED", `the prediction took longer than ${timeoutMs} ms`, {
        remedy: "retry later",
      }),
    );
  }, timeoutMs);
  const onClose = () => {
    if (reply.raw.writableFinished) return;
    controller.abort(new PipelineError("REQUEST_INVALID", "the client closed the connection"));
  };
  reply.raw.once("close", onClose);
  return {
    signal: controller.signal,
    clear() {
      clearTimeout(timer);
      reply.raw.off("close", onClose);
    },
  };
}
