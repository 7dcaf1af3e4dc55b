import { PipelineError } from "../../base/errors.ts";

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
      throw unavailable(`${name} at ${base} does not answer`, cause);
    }
    if (!response.ok) throw unavailable(`${name} answered ${response.status} to ${path}: ${text.slice(0, 500).trim()}`);
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
        throw unavailable(`${name} at ${base} answered ${path} with something that is no JSON`, cause);
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

function unavailable(message: string, cause?: unknown): PipelineError {
  return new PipelineError("ALERTING_UNAVAILABLE", message, {
    remedy: "look at `cifar stack status` and at the log of the program",
    ...(cause === undefined ? {} : { cause }),
  });
}
