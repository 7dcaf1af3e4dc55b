import type { FastifyReply, FastifyRequest } from "fastify";
import { PipelineError } from "../base/errors.ts";
import { uploadSignal } from "../http/upload-pace.ts";

export interface Cancellation extends Disposable {
  readonly signal: AbortSignal;
  /** What the answer may take once the request is here: the server's limit, or less by the header x-timeout-ms. */
  readonly timeoutMs: number;
  /** The request is here: its time begins. */
  startTimeout(): void;
}

/** Aborts when the client has gone or sends too slowly, or the time for the answer is up. */
export function cancellation(request: FastifyRequest, reply: FastifyReply, limitMs: number): Cancellation {
  const timeoutMs = Math.min(limitMs, requestedTimeout(request) ?? limitMs);
  const controller = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const upload = uploadSignal(request);
  const onSlow = () => controller.abort(upload?.reason);
  upload?.addEventListener("abort", onSlow, { once: true });
  const onClose = () => {
    if (reply.raw.writableFinished) return;
    controller.abort(new PipelineError("REQUEST_INVALID", "the client closed the connection"));
  };
  reply.raw.once("close", onClose);
  return {
    signal: controller.signal,
    timeoutMs,
    startTimeout() {
      timer = setTimeout(() => {
        controller.abort(
          new PipelineError("DEADLINE_EXCEEDED", `the prediction took longer than ${timeoutMs} ms`, {
            remedy: "retry later",
          }),
        );
      }, timeoutMs);
    },
    [Symbol.dispose]() {
      clearTimeout(timer);
      upload?.removeEventListener("abort", onSlow);
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
