import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { ErrorCode } from "../base/error-codes.ts";
import { isPipelineError, PipelineError } from "../base/errors.ts";
import type { ApiError } from "./schemas.ts";

/** HTTP status of each error that can reach a client; every other code is a fault of ours: 500. */
const statusOf = {
  DEADLINE_EXCEEDED: 503,
  IMAGE_CORRUPT: 400,
  IMAGE_EMPTY: 400,
  IMAGE_TOO_LARGE: 413,
  IMAGE_UNSUPPORTED: 415,
  INFERENCE_FAILED: 503,
  INFERENCE_UNAVAILABLE: 503,
  METHOD_NOT_ALLOWED: 405,
  QUEUE_FULL: 503,
  REQUEST_INVALID: 400,
  REQUEST_TOO_LARGE: 413,
  ROUTE_NOT_FOUND: 404,
  SHUTTING_DOWN: 503,
  UNSUPPORTED_MEDIA_TYPE: 415,
} as const satisfies Partial<Record<ErrorCode, number>>;

const retryAfterSeconds = 1;

/** Gives every error of the app, the framework's own included, the one JSON shape. */
export function installErrorHandling(app: FastifyInstance): void {
  app.setErrorHandler((error: FastifyError | PipelineError, request, reply) => sendError(error, request, reply));
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split("?", 1)[0]!;
    const allowed = ["GET", "HEAD", "POST"].filter((method) => app.findRoute({ url: path, method }) !== null);
    if (allowed.length === 0) {
      const error = new PipelineError("ROUTE_NOT_FOUND", `there is no route ${request.method} ${shorten(path)}`, {
        remedy: "see /docs",
      });
      return sendError(error, request, reply);
    }
    reply.header("allow", allowed.join(", "));
    const error = new PipelineError("METHOD_NOT_ALLOWED", `${path} does not take ${request.method}`, {
      remedy: `use ${allowed.join(" or ")}`,
    });
    return sendError(error, request, reply);
  });
}

/** Answers a request that can't get as far as a route (the framework's own answer has another shape). */
export function apiErrorOf(error: PipelineError, requestId: string): ApiError {
  return { code: error.code, message: error.message, request_id: requestId, detail: error.message };
}

function sendError(error: FastifyError | PipelineError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const pipelineError = isPipelineError(error) ? error : fromFramework(error);
  const status: number = (statusOf as Partial<Record<ErrorCode, number>>)[pipelineError.code] ?? 500;
  if (status >= 500) {
    request.log.error({ err: error, code: pipelineError.code }, "request failed");
  } else {
    request.log.info({ code: pipelineError.code, reason: pipelineError.message }, "request refused");
  }
  if (status === 503) reply.header("retry-after", String(retryAfterSeconds));
  const visible = status === 500 ? internalError() : pipelineError;
  return reply
    .code(status)
    .type("application/json; charset=utf-8")
    .serializer(JSON.stringify)
    .send(apiErrorOf(visible, request.id));
}

/** What went wrong inside is for the log, not for the client. */
function internalError(): PipelineError {
  return new PipelineError("INTERNAL_ERROR", "the server could not handle the request", {
    remedy: "the log has the details under this request id",
  });
}

/** Errors of Fastify and its plugins carry a 4xx status where the client is at fault. */
function fromFramework(error: FastifyError): PipelineError {
  const status = error.statusCode ?? 500;
  const options = { cause: error };
  if (status === 413) return new PipelineError("REQUEST_TOO_LARGE", `request refused: ${error.message}`, options);
  if (status === 406 || status === 415) {
    return new PipelineError("UNSUPPORTED_MEDIA_TYPE", `request refused: ${error.message}`, options);
  }
  if (status === 503) return new PipelineError("SHUTTING_DOWN", error.message, options);
  if (status >= 400 && status < 500)
    return new PipelineError("REQUEST_INVALID", `request refused: ${error.message}`, options);
  return new PipelineError("INTERNAL_ERROR", error.message, options);
}

function shorten(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
