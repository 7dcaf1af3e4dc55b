import { PassThrough } from "node:stream";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { PipelineError } from "../base/errors.ts";

export interface UploadPace {
  /** A body of which nothing arrives for this long is given up. */
  readonly uploadIdleTimeoutMs: number;
  /** Once a body has taken that long, it must have come at this rate on average. */
  readonly uploadMinBytesPerSecond: number;
}

/** Looks in each idle timeout: a stall of this process itself skips looks, and so is not held against the client. */
const looks = 4;

const signals = new WeakMap<object, AbortSignal>();

/** Aborts with REQUEST_TIMEOUT when the request's body comes too slowly; undefined for a request without a body. */
export function uploadSignal({ raw }: FastifyRequest): AbortSignal | undefined {
  return signals.get(raw);
}

/**
 * Gives up bodies that come too slowly: not those that take long in total (a phone in the countryside), but those that
 * stand still, and those below a rate that no living connection has. Bodies that nobody reads are watched too, until
 * they have passed.
 */
export function installUploadPace(app: FastifyInstance, pace: UploadPace): void {
  app.addHook("onRequest", async (request, reply) => {
    const { headers, raw } = request;
    if (headers["transfer-encoding"] === undefined && Number(headers["content-length"] ?? 0) === 0) return;
    const controller = new AbortController();
    signals.set(raw, controller.signal);
    const stop = watch(raw.socket, pace, (reason) => {
      if (reply.raw.headersSent) raw.socket.destroy();
      else controller.abort(reason);
    });
    raw.once("close", stop);
  });
  // Forms are read from the socket by their parser, and stopped by the signal; other bodies are read by the framework.
  app.addHook("preParsing", async (request, _reply, payload) => {
    const signal = uploadSignal(request);
    if (signal === undefined || request.headers["content-type"]?.startsWith("multipart/")) return payload;
    const body = new PassThrough();
    payload.once("error", (error) => body.destroy(error));
    signal.addEventListener("abort", () => {
      payload.unpipe(body);
      body.destroy(signal.reason);
    });
    return payload.pipe(body);
  });
}

/** @returns what ends the watch */
function watch(
  socket: { readonly bytesRead: number },
  { uploadIdleTimeoutMs, uploadMinBytesPerSecond }: UploadPace,
  giveUp: (reason: PipelineError) => void,
): () => void {
  const started = performance.now();
  const before = socket.bytesRead;
  let seen = before;
  let silent = 0;
  const timer = setInterval(() => {
    silent = socket.bytesRead === seen ? silent + 1 : 0;
    seen = socket.bytesRead;
    const elapsedMs = performance.now() - started;
    const rate = (1000 * (seen - before)) / elapsedMs;
    const isSlow = elapsedMs >= uploadIdleTimeoutMs && rate < uploadMinBytesPerSecond;
    if (silent < looks && !isSlow) return;
    clearInterval(timer);
    giveUp(
      silent >= looks
        ? tooSlow(`nothing of the request's body arrived for ${uploadIdleTimeoutMs} ms`)
        : tooSlow(`the request's body came at ${Math.round(rate)} bytes a second`, uploadMinBytesPerSecond),
    );
  }, uploadIdleTimeoutMs / looks);
  timer.unref();
  return () => clearInterval(timer);
}

function tooSlow(what: string, leastRate?: number): PipelineError {
  return new PipelineError("REQUEST_TIMEOUT", leastRate === undefined ? what : `${what}, below ${leastRate}`, {
    remedy: "send it again over a better connection, or a smaller image",
  });
}
