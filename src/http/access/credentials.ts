import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { PipelineError } from "../../base/errors.ts";

/** Who may use the server: whoever knows the token, or user name and password. */
export interface Credentials {
  readonly token?: string;
  readonly user?: { readonly name: string; readonly password: string };
}

/** Browsers can send Basic alone: there the token is a password, whatever the name. @throws TRACKING_DENIED */
export function checkCredentials({ authorization = "" }: IncomingHttpHeaders, { token, user }: Credentials): void {
  if (token === undefined && user === undefined) return;
  const [scheme = "", given = ""] = authorization.split(/\s+/, 2);
  if (scheme.toLowerCase() === "bearer" && token !== undefined && same(given, token)) return;
  if (scheme.toLowerCase() === "basic") {
    const plain = Buffer.from(given, "base64").toString();
    const colon = plain.indexOf(":");
    const name = plain.slice(0, Math.max(colon, 0));
    const password = plain.slice(colon + 1);
    if (token !== undefined && same(password, token)) return;
    if (user !== undefined && same(name, user.name) && same(password, user.password)) return;
  }
  throw new PipelineError("TRACKING_DENIED", "You are not authenticated", {
    remedy: "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
  });
}

/** In a time that does not tell how much was right. */
function same(given: string, expected: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}

const loopbackHosts = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i;

/**
 * A page of another site can make a browser send requests here. A server on loopback takes none for other host names
 * (which a site could have pointed at 127.0.0.1), and no server takes writes that a foreign page makes.
 * @throws REQUEST_INVALID
 */
export function checkOrigin(
  { host = "", origin }: IncomingHttpHeaders,
  { method, loopback }: { readonly method: string; readonly loopback: "yes" | "no" },
): void {
  if (loopback === "yes" && host !== "" && !loopbackHosts.test(host))
    throw new PipelineError("REQUEST_INVALID", `Invalid Host header ${JSON.stringify(host.slice(0, 200))}`, {
      remedy: "use the address that the server listens on",
    });
  if (origin === undefined || method === "GET" || method === "HEAD") return;
  if (origin.replace(/^https?:\/\//i, "").toLowerCase() === host.toLowerCase()) return;
  throw new PipelineError(
    "REQUEST_INVALID",
    `Cross-origin request from ${JSON.stringify(origin.slice(0, 200))} blocked`,
    {
      remedy: "send it from the server's own page or from a program",
    },
  );
}
