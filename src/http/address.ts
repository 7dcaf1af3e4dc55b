import { isIP } from "node:net";
import { PipelineError } from "../base/errors.ts";

/** Whether a host name or address means this machine only. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase().replace(/^\[|\]$/g, "");
  if (name === "localhost" || name.endsWith(".localhost") || name === "::1") return true;
  return isIP(name) === 4 && name.startsWith("127.");
}

/** A wildcard address is no address to visit. */
export function hostInUrl(host: string): string {
  if (host === "0.0.0.0" || host === "::") return "localhost";
  return host.includes(":") ? `[${host}]` : host;
}

/** Why a server can't listen, in words; other errors as they are. */
export function addressError(cause: unknown, host: string, port: number): unknown {
  const code = (cause as NodeJS.ErrnoException).code;
  const reasons: Partial<Record<string, string>> = {
    EADDRINUSE: "another program uses it",
    EACCES: "this user may not use it",
    EADDRNOTAVAIL: "this machine has no such address",
    ENOTFOUND: "the host name is unknown",
  };
  const reason = code === undefined ? undefined : reasons[code];
  if (reason === undefined) return cause;
  return new PipelineError("ADDRESS_UNAVAILABLE", `cannot listen on ${host} port ${port}: ${reason}`, {
    remedy: "choose another with --port or --host",
    details: { host, port },
    cause,
  });
}
