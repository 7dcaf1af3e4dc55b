import type { FastifyReply, FastifyRequest } from "fastify";
import { PipelineError } from "../base/errors.ts";

export interface Cancellation extends Disposable {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}

/** Aborts when the time is up (the server's limit, or less by the header x-timeout-ms) or the client has gone. */
export function cancellation(request: FastifyRequest, reply: FastifyReply, limitMs: number): Cancellation {
  const timeoutMs = Math.min(limitMs, requestedTimeout(request) ?? limitMs);
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
    timeoutMs,
    [Symbol.dispose]() {
      clearTimeout(timer);
      reply.raw.off("close", onClose);
    },
  };
}

function requestedTimeout({ headers }: FastifyRequest): number | undefined {
  const header = headers["x-timeout-ms"];
  if (header === undefined) return undefined;
  if (typeof header === "string" && /^[1-9]\d{0,8}$/.test(header)) return Number(header);
  throw new PipelineError("REQUEST_INVALID", "the header x-timeout-ms is no whole number of milliseconds above 0", {
    remedy: "leave it out, or send for example x-timeout-ms: 500",
  });
}
