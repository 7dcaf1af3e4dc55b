import type { FastifyRequest } from "fastify";
import { z } from "zod";
import { PipelineError } from "../../base/errors.ts";
import { mediaTypeError } from "../../http/media-type.ts";
import { type InferRequest, inferRequestSchema } from "./schemas.ts";

/** It describes tensors; their data follow it. */
const mostJsonBytes = 64 * 1024;

export interface InferBody {
  readonly request: InferRequest;
  readonly binary: Uint8Array;
}

/**
 * The JSON of an infer request and what follows it. With binary tensor data the body is not application/json, and the
 * header Inference-Header-Content-Length says where the JSON ends.
 * @throws REQUEST_INVALID, UNSUPPORTED_MEDIA_TYPE
 */
export function inferBody(request: FastifyRequest): InferBody {
  const { body, headers } = request;
  const header = headers["inference-header-content-length"];
  if (!Buffer.isBuffer(body)) {
    if (headers["content-type"]?.toLowerCase().startsWith("application/json")) {
      return { request: body as InferRequest, binary: new Uint8Array() };
    }
    throw mediaTypeError(request);
  }
  const length = typeof header === "string" && /^\d{1,9}$/.test(header) ? Number(header) : Number.NaN;
  if (!(length > 0 && length <= body.length)) {
    throw new PipelineError("REQUEST_INVALID", "the header Inference-Header-Content-Length is missing or wrong", {
      remedy: `send the length of the JSON, from 1 to ${body.length}`,
    });
  }
  if (length > mostJsonBytes) {
    throw new PipelineError("REQUEST_INVALID", `the JSON before the binary data has ${length} bytes`, {
      remedy: `send at most ${mostJsonBytes}, and the data behind it`,
    });
  }
  let value: unknown;
  try {
    value = JSON.parse(body.toString("utf8", 0, length));
  } catch (cause) {
    throw new PipelineError("REQUEST_INVALID", "the part of the body before the binary data is no JSON", {
      remedy: "check Inference-Header-Content-Length",
      cause,
    });
  }
  const parsed = inferRequestSchema.safeParse(value);
  if (!parsed.success)
    throw new PipelineError("REQUEST_INVALID", z.prettifyError(parsed.error), { cause: parsed.error });
  return { request: parsed.data, binary: body.subarray(length) };
}
