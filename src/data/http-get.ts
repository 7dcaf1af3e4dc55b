import { type ClientRequest, get as getHttp, type IncomingMessage } from "node:http";
import { get as getHttps } from "node:https";
import { type Env, type HttpProxy, openTunnel, ProxyRefusal, proxyFor, proxyHeaders } from "./proxy.ts";

/** A failed transfer; "retry" where another attempt may succeed. */
export class TransferError extends Error {
  readonly retryable: boolean;

  constructor(message: string, remedy: "retry" | "give-up", cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "TransferError";
    this.retryable = remedy === "retry";
  }
}

export interface HttpGetOptions {
  /** Byte to begin with; a server may ignore it. */
  readonly start: number;
  /** Silence, in connecting as in reading, after which the transfer fails. */
  readonly stallTimeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Names the proxies: HTTPS_PROXY, HTTP_PROXY, NO_PROXY; default: the environment of the process. */
  readonly env?: Env | undefined;
}

export interface HttpBody extends AsyncDisposable {
  /** Byte that the body begins with, or "complete" when there is nothing beyond the start asked for. */
  readonly start: number | "complete";
  /** Size of the whole resource, where the server tells. */
  readonly total: number | undefined;
  readonly body: AsyncIterable<Uint8Array>;
}

const maxRedirects = 5;

/**
 * GET of raw bytes: nothing is decoded (`fetch` would gunzip an archive that is served as "Content-Encoding: gzip").
 * Follows redirects, but never from https to http. Goes through the proxy that the environment names.
 * @throws TransferError
 */
export async function httpGet(url: string, options: HttpGetOptions): Promise<HttpBody> {
  let address = new URL(url);
  for (let redirects = 0; ; redirects++) {
    if (!isAllowed(address)) throw new TransferError(`not an http(s) address: ${address.href}`, "give-up");
    const proxy = chooseProxy(address, options.env ?? process.env);
    const message = await request(address, proxy, options).catch((error: unknown) => {
      throw proxy === undefined || options.signal?.aborted === true ? error : throughProxy(proxy, error);
    });
    const status = message.statusCode ?? 0;
    const location = message.headers.location;
    if (status < 300 || status >= 400 || location === undefined) {
      try {
        return bodyOf(message, status, options);
      } catch (error) {
        message.destroy();
        throw proxy === undefined ? error : throughProxy(proxy, error);
      }
    }
    message.destroy();
    const next = new URL(location, address);
    if (redirects >= maxRedirects) throw new TransferError(`more than ${maxRedirects} redirects`, "give-up");
    if (!isAllowed(next) || (address.protocol === "https:" && next.protocol !== "https:")) {
      throw new TransferError(`refused redirect from ${address.href} to ${next.href}`, "give-up");
    }
    address = next;
  }
}

function isAllowed({ protocol }: URL): boolean {
  return protocol === "https:" || protocol === "http:";
}

function chooseProxy(address: URL, env: Env): HttpProxy | undefined {
  try {
    return proxyFor(address, env);
  } catch (cause) {
    throw new TransferError((cause as Error).message, "give-up", cause);
  }
}

/** Says that a proxy was in between: it, not the server, may be what fails. */
function throughProxy({ label }: HttpProxy, cause: unknown): TransferError {
  const gaveUp =
    cause instanceof TransferError ? !cause.retryable : cause instanceof ProxyRefusal && cause.status < 500;
  const reason = cause instanceof Error ? cause.message || cause.name : String(cause);
  return new TransferError(`through the proxy ${label}: ${reason}`, gaveUp ? "give-up" : "retry", cause);
}

async function request(
  address: URL,
  proxy: HttpProxy | undefined,
  { start, stallTimeoutMs, signal }: HttpGetOptions,
): Promise<IncomingMessage> {
  // Beside the socket's own timeout, because looking up a name has none.
  const silence = new AbortController();
  const connecting = setTimeout(() => silence.abort(stalled(stallTimeoutMs)), stallTimeoutMs);
  const either = signal === undefined ? silence.signal : AbortSignal.any([signal, silence.signal]);
  try {
    const headers = { "accept-encoding": "identity", ...(start > 0 ? { range: `bytes=${start}-` } : {}) };
    const call = await send(address, { proxy, headers, signal: either });
    const message = await new Promise<IncomingMessage>((resolve, reject) => {
      call.on("response", resolve);
      call.on("error", reject);
    });
    message.setTimeout(stallTimeoutMs, () => message.destroy(stalled(stallTimeoutMs)));
    return message;
  } catch (error) {
    throw silence.signal.aborted ? stalled(stallTimeoutMs) : error;
  } finally {
    clearTimeout(connecting);
  }
}

interface Sent {
  readonly proxy: HttpProxy | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

async function send(address: URL, { proxy, headers, signal }: Sent): Promise<ClientRequest> {
  if (proxy === undefined) {
    const get = address.protocol === "https:" ? getHttps : getHttp;
    return get(address, { headers, agent: false, signal });
  }
  if (address.protocol === "https:") {
    const tunnel = await openTunnel(proxy, address, signal);
    // Without an agent, which would make a connection of its own.
    return getHttps(address, { headers, signal, createConnection: () => tunnel });
  }
  const get = proxy.url.protocol === "https:" ? getHttps : getHttp;
  const forwarded = { ...headers, host: address.host, ...proxyHeaders(proxy) };
  return get(proxy.url, { path: address.href, headers: forwarded, agent: false, signal });
}

function bodyOf(message: IncomingMessage, status: number, { start }: HttpGetOptions): HttpBody {
  const body = {
    body: message as AsyncIterable<Uint8Array>,
    async [Symbol.asyncDispose]() {
      message.destroy();
    },
  };
  const range = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/.exec(message.headers["content-range"] ?? "");
  const total = range === null || range[2] === "*" ? undefined : Number(range[2]);
  if (status === 200) {
    const length = message.headers["content-length"];
    return { ...body, start: 0, total: length === undefined ? undefined : Number(length) };
  }
  if (status === 206) {
    if (range === null || Number(range[1]) !== start) {
      throw new TransferError(`asked for bytes from ${start}, got ${message.headers["content-range"]}`, "give-up");
    }
    return { ...body, start, total };
  }
  // Nothing beyond `start`: the part is complete, or too long, which its checksum will show.
  if (status === 416 && start > 0) return { ...body, start: "complete", total };
  const temporary = status >= 500 || status === 408 || status === 429;
  throw new TransferError(
    `the server answered ${status} ${message.statusMessage ?? ""}`.trim(),
    temporary ? "retry" : "give-up",
  );
}

function stalled(ms: number): TransferError {
  return new TransferError(`no data for ${ms / 1000} s`, "retry");
}
