import { setTimeout as sleep } from "node:timers/promises";
import type { ErrorCode } from "../../base/error-codes.ts";
import { PipelineError } from "../../base/errors.ts";

export interface HttpOptions {
  /** "http://host:5000", maybe with a path below which the API lies. */
  readonly url: string;
  /** Value of the header Authorization. */
  readonly authorization?: string;
  /**
   * How long a server may be silent: until it answers, with a second more for each 100 kB that it takes in meanwhile, and
   * between two pieces of a stream or of its answer.
   */
  readonly timeoutMs?: number;
  /** After the first one. */
  readonly retries?: number;
  /** Before the first repetition; doubles each time. */
  readonly backoffMs?: number;
  readonly signal?: AbortSignal;
}

export type HttpBody = NonNullable<RequestInit["body"]>;

export interface HttpRequest {
  readonly method: "GET" | "POST" | "PATCH" | "PUT" | "DELETE";
  /** Below the URL. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | readonly string[] | undefined>>;
  /** Sent as JSON. */
  readonly json?: object;
  /** A stream is sent once, whatever becomes of it: its beginning is gone. */
  readonly body?: { readonly data: HttpBody; readonly type: string };
  /** Whether the server may be asked again when it may have done it already. */
  readonly repeatable?: "yes" | "no";
}

export interface HttpClient {
  readonly url: string;
  /** @throws TRACKING_UNAVAILABLE, TRACKING_DENIED, and the codes that the server's answer stands for */
  send(request: HttpRequest): Promise<Response>;
  /** The same, and the answer is JSON. */
  call(request: HttpRequest): Promise<unknown>;
}

const retried = new Set([408, 429, 500, 502, 503, 504]);
const neverConnected = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH"]);

const codes: Readonly<Record<string, ErrorCode>> = {
  INVALID_PARAMETER_VALUE: "TRACKING_INVALID",
  BAD_REQUEST: "TRACKING_INVALID",
  RESOURCE_ALREADY_EXISTS: "TRACKING_EXISTS",
  ALREADY_EXISTS: "TRACKING_EXISTS",
  RESOURCE_DOES_NOT_EXIST: "TRACKING_NOT_FOUND",
  NOT_FOUND: "TRACKING_NOT_FOUND",
  INVALID_STATE: "TRACKING_STATE",
  PERMISSION_DENIED: "TRACKING_DENIED",
  UNAUTHENTICATED: "TRACKING_DENIED",
};

/** Sends requests to a tracking server; what fails for a moment is tried again with growing pauses. */
export function createHttpClient(options: HttpOptions): HttpClient {
  const { authorization, timeoutMs = 30_000, retries = 5, backoffMs = 200, signal } = options;
  const url = options.url.replace(/\/+$/, "");

  const attempt = async (request: HttpRequest): Promise<Response> => {
    const { json, body } = request;
    const content = json === undefined ? body?.data : JSON.stringify(json);
    const limit = silenceLimit(timeoutMs, bytesOf(content) / uploadBytesPerMs);
    const headers: Record<string, string> = { accept: "application/json" };
    if (authorization !== undefined) headers.authorization = authorization;
    if (json !== undefined) headers["content-type"] = "application/json";
    if (body !== undefined) headers["content-type"] = body.type;
    const init: RequestInit & { duplex?: "half" } = {
      method: request.method,
      headers,
      redirect: "manual",
      signal: signal === undefined ? limit.signal : AbortSignal.any([limit.signal, signal]),
    };
    if (content !== undefined) {
      init.body = content instanceof ReadableStream ? content.pipeThrough(limit.watch()) : content;
      init.duplex = "half";
    }
    const response = await fetch(`${url}${request.path}${queryOf(request.query)}`, init);
    return response.body === null ? response : new Response(response.body.pipeThrough(limit.watch()), response);
  };

  const send = async (request: HttpRequest): Promise<Response> => {
    const { repeatable = "yes", body } = request;
    const attempts = body?.data instanceof ReadableStream ? 0 : retries;
    for (let tried = 0; ; tried++) {
      const last = tried >= attempts;
      let response: Response;
      try {
        response = await attempt(request);
      } catch (error) {
        const again = repeatable === "yes" || neverConnected.has(causeCode(error));
        if (last || !again || signal?.aborted === true) throw unavailable(url, error);
        await sleep(pause(backoffMs, tried), undefined, signal === undefined ? {} : { signal });
        continue;
      }
      if (response.ok) return response;
      const again = retried.has(response.status) && (repeatable === "yes" || response.status === 429);
      const failure = await failureOf(response, { url, path: request.path });
      // A state that the server refuses is told with status 500, and will not change by asking again.
      if (last || !again || failure.code === "TRACKING_STATE") throw failure;
      await sleep(pause(backoffMs, tried), undefined, signal === undefined ? {} : { signal });
    }
  };

  return {
    url,
    send,
    call: async (request) => {
      const response = await send(request);
      try {
        return (await response.json()) as unknown;
      } catch (cause) {
        throw new PipelineError("TRACKING_UNAVAILABLE", `${url}${request.path} did not answer with JSON`, {
          cause,
          remedy: "check that mlflow.tracking_uri is the address of a tracking server",
        });
      }
    },
  };
}

/** The slowest connection that is waited for. */
const uploadBytesPerMs = 100;

/** Aborts after a silence; the first one may be longer. */
function silenceLimit(timeoutMs: number, moreMs: number) {
  const stop = new AbortController();
  const expire = (): void =>
    stop.abort(new DOMException(`nothing was heard for ${timeoutMs / 1000} s`, "TimeoutError"));
  let timer = setTimeout(expire, timeoutMs + moreMs).unref();
  const restart = (): void => {
    clearTimeout(timer);
    timer = setTimeout(expire, timeoutMs).unref();
  };
  return {
    signal: stop.signal,
    /** What passes through is no silence. */
    watch(): TransformStream<Uint8Array, Uint8Array> {
      restart();
      return new TransformStream({
        transform: (chunk, out) => {
          restart();
          out.enqueue(chunk);
        },
      });
    },
  };
}

/** 0 for a stream. */
function bytesOf(content: HttpBody | undefined): number {
  if (typeof content === "string") return Buffer.byteLength(content);
  if (content instanceof Blob) return content.size;
  return content instanceof ArrayBuffer || ArrayBuffer.isView(content) ? content.byteLength : 0;
}

function pause(backoffMs: number, tried: number): number {
  return Math.min(backoffMs * 2 ** tried, 10_000) * (0.75 + Math.random() / 2);
}

function queryOf(query: HttpRequest["query"] = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined) continue;
    for (const item of typeof value === "object" ? value : [value]) search.append(name, String(item));
  }
  const text = search.toString();
  return text === "" ? "" : `?${text}`;
}

function causeCode(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : "";
}

function unavailable(url: string, cause: unknown): PipelineError {
  const code = causeCode(cause);
  const why = code === "" ? (cause instanceof Error ? cause.message : String(cause)) : code;
  return new PipelineError("TRACKING_UNAVAILABLE", `the tracking server ${url} cannot be reached: ${why}`, {
    cause,
    remedy: "check that it runs and that mlflow.tracking_uri is its address",
    details: { url },
  });
}

async function failureOf(
  response: Response,
  { url, path }: { readonly url: string; readonly path: string },
): Promise<PipelineError> {
  const body = (await response.text().catch(() => "")).slice(0, 4000);
  const { error_code = "", message = "" } = readError(body);
  const details = { status: response.status, errorCode: error_code, path };
  if (response.status === 401 || response.status === 403)
    return new PipelineError("TRACKING_DENIED", `the tracking server ${url} refuses the credentials`, {
      remedy: "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
      details,
    });
  const code = codes[error_code];
  if (code !== undefined) return new PipelineError(code, message, { details });
  if (response.status === 413)
    return new PipelineError("TRACKING_INVALID", `${url}${path} is refused as too large (413)`, {
      remedy: "raise the body limit of the proxy before the tracking server (client_max_body_size in nginx)",
      details,
    });
  // Also a 404 that no tracking server has written: it says nothing of what was asked for.
  return new PipelineError(
    "TRACKING_UNAVAILABLE",
    `the tracking server ${url} answered ${path} with status ${response.status}: ${message || body.slice(0, 200)}`,
    { remedy: "check that mlflow.tracking_uri is its address, and what lies between", details },
  );
}

function readError(body: string): { readonly error_code?: string; readonly message?: string } {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    // A proxy's page, say: the status and the beginning of the text are told instead.
    return {};
  }
}
