import { isLoopback } from "../address.ts";
import { ApiKeys } from "./api-keys.ts";

/** What a route needs: nothing; the right to predict; to report feedback; to change the service. */
export type RouteAccess = "read" | "predict" | "feedback" | "admin";

/** Who may do what; the default suits a listener on loopback. */
export interface AccessPolicy {
  readonly keys: ApiKeys;
  /**
   * "auto": whatever changes state needs a key where keys are configured or the listener is not loopback.
   * "open": nothing does; for listeners that only trusted machines reach.
   */
  readonly mode: "auto" | "open";
  /** Whether predictions need a key too. */
  readonly predictionsNeedKey: boolean;
  /** The listener's own address, to tell loopback from others. */
  readonly listenHost: string;
  /** Host names that the service answers to beside the loopback ones; empty off loopback: any. */
  readonly allowedHosts: readonly string[];
  /** Origins of pages on other sites that may call the service, "https://example.org". */
  readonly corsOrigins: readonly string[];
  /** Requests a second of one client (key or address) on predicting and changing routes, with bursts of twice that. */
  readonly rateLimitPerSecond: number | undefined;
  /** Addresses or ranges of proxies whose X-Forwarded-* headers are believed; empty: none. */
  readonly trustedProxies: readonly string[];
}

export const loopbackPolicy: AccessPolicy = {
  keys: new ApiKeys(),
  mode: "auto",
  predictionsNeedKey: false,
  listenHost: "127.0.0.1",
  allowedHosts: [],
  corsOrigins: [],
  rateLimitPerSecond: undefined,
  trustedProxies: [],
};

/** Whether a key with `scope` is needed for `access`; undefined: none. */
export function neededScope(policy: AccessPolicy, access: RouteAccess): "predict" | "admin" | undefined {
  if (policy.mode === "open") return undefined;
  const guarded = policy.keys.count > 0 || !isLoopback(policy.listenHost);
  switch (access) {
    case "read":
      return undefined;
    case "predict":
      return policy.predictionsNeedKey ? "predict" : undefined;
    case "feedback":
      return guarded ? "predict" : undefined;
    case "admin":
      return guarded ? "admin" : undefined;
    default:
      return access satisfies never;
  }
}

/**
 * Whether a request's Host header names this service. A page whose own name was re-pointed to 127.0.0.1 (DNS
 * rebinding) sends its own name here.
 */
export function isAllowedHost(policy: AccessPolicy, host: string): boolean {
  const name = hostName(host);
  if (name === undefined) return false;
  if (isLoopback(name) || policy.allowedHosts.some((allowed) => allowed.toLowerCase() === name)) return true;
  return policy.allowedHosts.length === 0 && !isLoopback(policy.listenHost);
}

/** Whether a page of that origin may change something: it is ours, or was allowed. */
export function isAllowedOrigin(policy: AccessPolicy, origin: string, host: string): boolean {
  if (policy.corsOrigins.includes(origin)) return true;
  return URL.canParse(origin) && new URL(origin).host === host.toLowerCase();
}

/** "[::1]:8000" to "::1". */
function hostName(host: string): string | undefined {
  if (!/^[A-Za-z0-9.\-_:[\]]+$/.test(host) || !URL.canParse(`http://${host}`)) return undefined;
  return new URL(`http://${host}`).hostname.replace(/^\[|\]$/g, "").toLowerCase();
}
