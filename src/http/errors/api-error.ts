import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { isPipelineError, PipelineError } from "../../base/errors.ts";
import { mediaTypeError } from "../media-type.ts";
import type { ApiError } from "./api-error-schema.ts";
import { type ClientErrorCode, errorStatus, isClientErrorCode } from "./error-status.ts";
import { loggedReason } from "./log-reason.ts";
import { isOpenInferenceRoute, openInferenceErrorOf } from "./open-inference-error.ts";

/** Where nothing better is known, in seconds. */
const usualRetryAfter = 1;
const longestRetryAfter = 60;

/** Load and the end of the service pass: nothing is broken. */
const passing = new Set<ClientErrorCode>(["DEADLINE_EXCEEDED", "QUEUE_FULL", "SHUTTING_DOWN"]);

/**
 * Gives every error of the app, the framework's own included, the one JSON shape.
 * @param onRefusal is told the code of each error that a route or hook threw for the client
 */
export function installErrorHandling(app: FastifyInstance, onRefusal: (code: ClientErrorCode) => void): void {
  app.setErrorHandler((error: FastifyError | PipelineError, request, reply) => {
    if (isPipelineError(error) && isClientErrorCode(error.code)) onRefusal(error.code);
    return sendError(error, request, reply);
  });
  // Of a file that a route does not find; what no route takes is refused before its body is read.
  app.setNotFoundHandler((request, reply) => sendError(notFoundError(app, request, reply), request, reply));
}

/** Refuses what no route takes, whatever its body is like; to be installed behind the hooks that every request passes. */
export function refuseUnknownRoutes(app: FastifyInstance): void {
  app.addHook("onRequest", async (request, reply) => {
    if (request.is404) throw notFoundError(app, request, reply);
  });
}

function notFoundError(app: FastifyInstance, request: FastifyRequest, reply: FastifyReply): PipelineError {
  const path = request.url.split("?", 1)[0]!;
  const allowed = app.supportedMethods.filter((method) => app.findRoute({ url: path, method }) !== null);
  // A route with a wildcard may take the method and still find nothing.
  if (allowed.length === 0 || allowed.includes(request.method)) {
    return new PipelineError("ROUTE_NOT_FOUND", `there is no route ${request.method} ${shorten(path)}`, {
      remedy: "see /docs",
    });
  }
  reply.header("allow", allowed.join(", "));
  return new PipelineError("METHOD_NOT_ALLOWED", `${shorten(path)} does not take ${request.method}`, {
    remedy: `use ${allowed.join(" or ")}`,
  });
}

export function apiErrorOf(code: ClientErrorCode, message: string, requestId: string): ApiError {
  return { code, message, request_id: requestId, detail: message };
}

/** Errors whose message may name paths and internals: those are for the log, not for the client. */
const publicMessages: Partial<Record<ClientErrorCode, string>> = {
  INFERENCE_FAILED: "the model could not compute this prediction; retry, and see the log if it happens again",
  INFERENCE_UNAVAILABLE: "the model is not available at the moment; retry later",
  INTERNAL_ERROR: "the server could not handle the request; the log has the details under this request id",
};

/** Answers with the one JSON shape. */
export function sendError(
  error: FastifyError | PipelineError,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const known = isPipelineError(error) ? error : fromFramework(error, request);
  const code = isClientErrorCode(known.code) ? known.code : "INTERNAL_ERROR";
  const status = errorStatus[code];
  if (status >= 500 && !passing.has(code)) {
    request.log.error({ err: error, code: known.code }, "request failed");
  } else if (status >= 500) {
    request.log.warn({ code, reason: loggedReason(known) }, "request refused");
  } else {
    request.log.info({ code, reason: loggedReason(known) }, "request refused");
  }
  // The rest of the body does not come, or is not read.
  if (status === 408) reply.header("connection", "close");
  if (status === 503 || status === 429) reply.header("retry-after", String(retryAfterOf(known)));
  const body = apiErrorOf(code, publicMessages[code] ?? known.message, request.id);
  return reply
    .code(status)
    .type("application/json; charset=utf-8")
    .serializer(JSON.stringify)
    .send(isOpenInferenceRoute(request.url) ? openInferenceErrorOf(body) : body);
}

function retryAfterOf({ details: { retryAfterMs } }: PipelineError): number {
  if (typeof retryAfterMs !== "number") return usualRetryAfter;
  return Math.min(longestRetryAfter, Math.max(1, Math.ceil(retryAfterMs / 1000)));
}

/** Errors of Fastify and its plugins carry a 4xx status where the client is at fault. */
function fromFramework(error: FastifyError, request: FastifyRequest): PipelineError {
  const status = error.statusCode ?? 500;
  const options = { cause: error };
  if (status === 413) return new PipelineError("REQUEST_TOO_LARGE", `request refused: ${error.message}`, options);
  if (status === 406 || status === 415) return mediaTypeError(request, error);
  if (status === 503) return new PipelineError("SHUTTING_DOWN", error.message, options);
  if (status >= 400 && status < 500)
    return new PipelineError("REQUEST_INVALID", `request refused: ${error.message}`, options);
  return new PipelineError("INTERNAL_ERROR", error.message, options);
}

function shorten(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
