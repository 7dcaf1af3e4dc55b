import { isPipelineError, PipelineError } from "../../base/errors.ts";

/** A program of the stack that is asked over HTTP. */
export interface HttpClient {
  readonly name: string;
  readonly url: string;
  get(path: string): Promise<string>;
  getJson(path: string): Promise<unknown>;
  post(path: string, body?: unknown): Promise<void>;
}

/** Failures are PipelineErrors of the code ALERTING_UNAVAILABLE, with what the program said. */
export function createHttpClient(name: string, url: string, { timeoutMs = 5000 } = {}): HttpClient {
  const base = url.replace(/\/+$/, "");
  const request = async (path: string, init: RequestInit): Promise<string> => {
    let response: Response;
    let text: string;
    try {
      response = await fetch(`${base}${path}`, { ...init, signal: AbortSignal.timeout(timeoutMs) });
      text = await response.text();
    } catch (cause) {
      throw unavailable(`${name} at ${base} does not answer${why(cause)}`, { cause });
    }
    if (!response.ok) {
      const { status } = response;
      throw unavailable(`${name} answered ${status} to ${path}: ${text.slice(0, 500).trim()}`, { details: { status } });
    }
    return text;
  };
  return {
    name,
    url: base,
    get: (path) => request(path, {}),
    async getJson(path) {
      const text = await request(path, {});
      try {
        return JSON.parse(text);
      } catch (cause) {
        throw unavailable(`${name} at ${base} answered ${path} with something that is no JSON`, { cause });
      }
    },
    async post(path, body) {
      await request(path, {
        method: "POST",
        ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
      });
    },
  };
}

/** The status of an answer that was no success; undefined where there was no answer, or where it is another error. */
export function answeredStatus(error: unknown): number | undefined {
  const status = isPipelineError(error, "ALERTING_UNAVAILABLE") ? error.details.status : undefined;
  return typeof status === "number" ? status : undefined;
}

/** What `fetch` keeps to itself. */
function why(cause: unknown): string {
  if (cause instanceof Error && cause.name === "TimeoutError") return " in time";
  const code = cause instanceof Error ? (cause.cause as NodeJS.ErrnoException | undefined)?.code : undefined;
  return code === undefined ? "" : ` (${code})`;
}

function unavailable(
  message: string,
  more: { readonly cause?: unknown; readonly details?: Readonly<Record<string, unknown>> } = {},
): PipelineError {
  return new PipelineError("ALERTING_UNAVAILABLE", message, {
    remedy: "look at `cifar stack status` and at the log of the program",
    ...more,
  });
}
