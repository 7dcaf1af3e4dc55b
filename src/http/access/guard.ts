import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { PipelineError } from "../../base/errors.ts";
import { type AccessPolicy, isAllowedHost, isAllowedOrigin, neededScope, type RouteAccess } from "./policy.ts";
import { clientOf, RateLimiter } from "./rate-limiter.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Default "read". */
    access?: RouteAccess;
    /** The answer goes on for as long as the client looks: its duration is no latency. */
    isStream?: boolean;
  }
  interface FastifyRequest {
    /** Name of the API key that the request came with, if it was checked. */
    apiKeyName: string | null;
  }
}

/** Who asks for a change: for the log. */
export interface Actor {
  /** The name of the API key, or the client's address. */
  readonly name: string;
  readonly requestId: string;
}

const safeMethods = new Set(["GET", "HEAD", "OPTIONS"]);
/** Wrong keys of one client: ten at once, then one every six seconds. */
const wrongKeys = { perSecond: 1 / 6, burst: 10 };
const preflightSeconds = 600;

/** Checks host, origin, key and rate of every request before its body is read. */
export function installGuard(app: FastifyInstance, policy: AccessPolicy, now: () => number): void {
  const rate = policy.rateLimitPerSecond;
  const requests =
    rate === undefined ? undefined : new RateLimiter({ perSecond: rate, burst: Math.max(1, 2 * rate), now });
  const failures = new RateLimiter({ ...wrongKeys, now });

  app.decorateRequest("apiKeyName", null);
  app.addHook("onRequest", async (request, reply) => {
    checkHost(policy, request);
    if (answerCors(policy, request, reply)) return reply;
    checkOrigin(policy, request);
    const access = request.routeOptions.config.access ?? "read";
    if (access !== "read" && requests !== undefined) {
      // Before the key is looked at: guessing keys is limited like everything else.
      limit(requests.take(clientOf(request.ip)), "requests");
    }
    checkKey(policy, access, request, reply, () => limit(failures.take(clientOf(request.ip)), "wrong API keys"));
  });
}

/** For logs of changes. */
export function actorOf(request: FastifyRequest): Actor {
  return { name: request.apiKeyName ?? request.ip, requestId: request.id };
}

function checkHost(policy: AccessPolicy, request: FastifyRequest): void {
  const { host } = request;
  // HTTP/1.0 has none; browsers always send one.
  if (host === undefined || host === "" || isAllowedHost(policy, host)) return;
  throw new PipelineError("HOST_NOT_ALLOWED", `this server does not answer to the host ${quoted(host)}`, {
    remedy: "use its own address, or add the name to serving.allowed_hosts",
  });
}

/** @returns whether the request was a preflight, and is answered */
function answerCors(policy: AccessPolicy, request: FastifyRequest, reply: FastifyReply): boolean {
  if (policy.corsOrigins.length === 0) return false;
  reply.header("vary", "Origin");
  const { origin } = request.headers;
  if (origin === undefined || !policy.corsOrigins.includes(origin)) return false;
  reply.header("access-control-allow-origin", origin);
  reply.header("access-control-expose-headers", "x-request-id, retry-after, server-timing");
  if (request.method !== "OPTIONS" || request.headers["access-control-request-method"] === undefined) return false;
  reply.header("access-control-allow-methods", "GET, HEAD, POST");
  reply.header("access-control-allow-headers", "authorization, content-type, x-api-key, x-request-id, x-timeout-ms");
  reply.header("access-control-max-age", String(preflightSeconds));
  void reply.code(204).send();
  return true;
}

/** Forms of other sites can post to any address that the browser reaches, loopback too: the browser says where from. */
function checkOrigin(policy: AccessPolicy, request: FastifyRequest): void {
  if (safeMethods.has(request.method)) return;
  const { origin } = request.headers;
  const site = request.headers["sec-fetch-site"];
  const refused =
    origin === undefined
      ? site === "cross-site" || site === "same-site"
      : !isAllowedOrigin(policy, origin, request.host ?? "");
  if (!refused) return;
  throw new PipelineError("ORIGIN_NOT_ALLOWED", `pages of ${quoted(origin ?? "other sites")} may not use this server`, {
    remedy: "add the origin to serving.cors_origins",
  });
}

function checkKey(
  policy: AccessPolicy,
  access: RouteAccess,
  request: FastifyRequest,
  reply: FastifyReply,
  countFailure: () => void,
): void {
  const scope = neededScope(policy, access);
  const presented = keyOf(request);
  if (scope === undefined) {
    if (presented !== undefined) request.apiKeyName = policy.keys.find(presented)?.name ?? null;
    return;
  }
  if (policy.keys.count === 0) {
    throw new PipelineError("FORBIDDEN", "this server is reachable by other machines and has no API keys", {
      remedy: "make one with `cifar key` and name its file in serving.api_keys_file",
    });
  }
  const entry = presented === undefined ? undefined : policy.keys.find(presented);
  if (entry === undefined) {
    if (presented !== undefined) countFailure();
    reply.header("www-authenticate", 'Bearer realm="cifar-pipeline"');
    const found = presented === undefined ? "no API key was sent" : "the API key is unknown";
    throw new PipelineError("UNAUTHENTICATED", found, {
      remedy: "send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`",
    });
  }
  if (!entry.scopes.includes(scope)) {
    throw new PipelineError("FORBIDDEN", `the API key ${entry.name} lacks the scope ${scope}`, {
      remedy: `use a key with the scope ${scope}`,
    });
  }
  request.apiKeyName = entry.name;
}

function keyOf({ headers }: FastifyRequest): string | undefined {
  const bearer = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? "")?.[1];
  const own = headers["x-api-key"];
  return bearer ?? (typeof own === "string" ? own : undefined);
}

function limit(retryAfterMs: number, what: string): void {
  if (retryAfterMs === 0) return;
  throw new PipelineError("RATE_LIMITED", `too many ${what} from one client`, {
    remedy: `retry in ${Math.ceil(retryAfterMs / 1000)} s`,
    details: { retryAfterMs },
  });
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}
