import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { actorOf } from "../../http/access/guard.ts";
import { errorResponses } from "../../http/errors/api-error-schema.ts";
import type { RouteContext } from "../dependencies.ts";
import type { FeedbackLog } from "../feedback-log.ts";
import { feedbackBodySchema, feedbackSchema } from "../schemas.ts";

/** POST /feedback: what an image really showed, which gives the accuracy in service. */
export const feedbackRoute = ({ metrics, drift }: RouteContext, feedback: FeedbackLog): FastifyPluginAsyncZod => {
  return async (app) => {
    app.route({
      method: "POST",
      url: "/feedback",
      config: { access: "feedback" },
      schema: {
        summary: "Report the true label of a prediction",
        description: "By the request id of a recent prediction. A second report for the same id replaces the first.",
        tags: ["inference"],
        body: feedbackBodySchema,
        response: { 200: feedbackSchema, ...errorResponses(400, 401, 403, 404, 413, 415, 421, 429) },
      },
      handler: async (request) => {
        const { request_id: requestId, true_label: label, true_class: index } = request.body;
        const result = feedback.report(requestId, label === undefined ? { index: index! } : { label });
        const { prediction, trueClass, correct, accuracy, count } = result;
        metrics.observe({ type: "feedback", outcome: correct ? "right" : "wrong", accuracy });
        drift?.feedback(prediction.model, { confidence: prediction.confidence, correct });
        const answer = {
          request_id: requestId,
          predicted_label: prediction.classes[prediction.predictedClass]!,
          true_label: prediction.classes[trueClass]!,
          correct,
          model: prediction.model,
          live_accuracy: accuracy,
          feedback_count: count,
        };
        request.log.info({ feedback: answer, by: actorOf(request).name }, "feedback received");
        return answer;
      },
    });
  };
};
