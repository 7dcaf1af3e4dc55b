import type { FastifyReply, FastifyRequest } from "fastify";
import { PipelineError } from "../base/errors.ts";

export interface AdmissionLimits {
  readonly maxRequestsInFlight: number;
  readonly maxBytesInFlight: number;
}

/**
 * Counts the prediction requests that are being read, decoded and computed, and their bytes. Beyond the limits a request
 * is refused before its body is read: what the server holds in memory is bounded whatever arrives.
 */
export class Admission {
  readonly #limits: AdmissionLimits;
  #requests = 0;
  #bytes = 0;

  constructor(limits: AdmissionLimits) {
    this.#limits = limits;
  }

  get requests(): number {
    return this.#requests;
  }

  /** An onRequest hook. @throws QUEUE_FULL */
  readonly enter = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const { maxRequestsInFlight, maxBytesInFlight } = this.#limits;
    const length = Number(request.headers["content-length"]);
    // A body of unknown length counts as the longest that the route takes.
    const bytes = Number.isSafeInteger(length) && length >= 0 ? length : request.routeOptions.bodyLimit!;
    // One request alone may always enter: its own size has a limit of its own.
    const full =
      this.#requests >= maxRequestsInFlight || (this.#requests > 0 && this.#bytes + bytes > maxBytesInFlight);
    if (full) {
      throw new PipelineError("QUEUE_FULL", `${this.#requests} requests are in progress already`, {
        remedy: "retry later",
        details: { maxRequestsInFlight, maxBytesInFlight },
      });
    }
    this.#requests++;
    this.#bytes += bytes;
    // After the answer, or when the client has gone.
    reply.raw.once("close", () => {
      this.#requests--;
      this.#bytes -= bytes;
    });
  };
}
