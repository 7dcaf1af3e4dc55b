import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { isIP, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";

export type Env = Readonly<Record<string, string | undefined>>;

/** A proxy that the environment names for an address. */
export interface HttpProxy {
  readonly url: URL;
  /** For messages: the address without a password, and the variable that it comes from. */
  readonly label: string;
}

/**
 * What HTTPS_PROXY, HTTP_PROXY and NO_PROXY say about an address; also in lower case, which comes first, as curl has it.
 * NO_PROXY lists hosts, which stand for their subdomains too, with or without a port; "*" is all. This machine itself is
 * never behind a proxy.
 * @throws TypeError when the variable holds no http(s) address
 */
export function proxyFor(address: URL, env: Env): HttpProxy | undefined {
  const name = address.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY";
  const [variable, value] =
    [name.toLowerCase(), name].map((key) => [key, env[key]?.trim() ?? ""] as const).find(([, text]) => text !== "") ??
    [];
  if (variable === undefined || value === undefined) return undefined;
  if (isLocal(address.hostname) || isExcepted(address, env.no_proxy ?? env.NO_PROXY ?? "")) return undefined;
  const text = /^[a-z][a-z\d+.-]*:\/\//i.test(value) ? value : `http://${value}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !["http:", "https:"].includes(url.protocol)) {
    throw new TypeError(`${variable} does not name an http:// or https:// proxy`);
  }
  return { url, label: `${url.protocol}//${url.host} (${variable})` };
}

function isLocal(host: string): boolean {
  return host === "localhost" || host.endsWith(".localhost") || host === "[::1]" || /^127(\.\d+){3}$/.test(host);
}

function isExcepted({ hostname, port, protocol }: URL, exceptions: string): boolean {
  const actualPort = port === "" ? (protocol === "https:" ? "443" : "80") : port;
  return exceptions.split(/[\s,]+/).some((entry) => {
    if (entry === "*") return true;
    const [, name = "", entryPort] = /^(\[[^\]]+\]|[^:]+|.*:.*:.*?)(?::(\d+))?$/.exec(entry.toLowerCase()) ?? [];
    const host = name.replace(/^\*?\./, "");
    if (host === "" || (entryPort !== undefined && entryPort !== actualPort)) return false;
    if (isIP(host) === 6) return hostname === `[${host}]`;
    return hostname === host || hostname.endsWith(`.${host}`);
  });
}

/** The header that gives a proxy its user and password; empty where the address has none. */
export function proxyHeaders({ url: { username, password } }: HttpProxy): Record<string, string> {
  if (username === "" && password === "") return {};
  const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { "proxy-authorization": `Basic ${Buffer.from(credentials).toString("base64")}` };
}

/** A proxy that answers, but will not connect. */
export class ProxyRefusal extends Error {
  readonly status: number;

  constructor(status: number, words: string) {
    super(`it answered ${status} ${words}`.trim());
    this.name = "ProxyRefusal";
    this.status = status;
  }
}

/** Opens a TLS connection to an https address through a proxy's tunnel (RFC 9110, section 9.3.6). @throws ProxyRefusal */
export async function openTunnel(proxy: HttpProxy, address: URL, signal: AbortSignal): Promise<TLSSocket> {
  const { url } = proxy;
  const host = address.hostname.replace(/^\[|\]$/g, "");
  const authority = `${address.hostname}:${address.port === "" ? 443 : address.port}`;
  const request = url.protocol === "https:" ? requestHttps : requestHttp;
  const socket = await new Promise<Socket>((resolve, reject) => {
    const call = request(url, {
      method: "CONNECT",
      path: authority,
      headers: { host: authority, ...proxyHeaders(proxy) },
      agent: false,
      signal,
    });
    call.on("connect", ({ statusCode = 0, statusMessage = "" }, tunnel) => {
      if (statusCode >= 200 && statusCode < 300) return resolve(tunnel as Socket);
      tunnel.destroy();
      reject(new ProxyRefusal(statusCode, statusMessage));
    });
    call.on("error", reject);
    call.end();
  });
  return connectTls({ socket, ALPNProtocols: ["http/1.1"], ...(isIP(host) === 0 ? { servername: host } : { host }) });
}
