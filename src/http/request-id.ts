import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";

const wellFormed = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;

/** The client's x-request-id when it is safe to log and to echo, else a new one. */
export function requestIdOf(message: Pick<IncomingMessage, "headers">): string {
  const header = message.headers["x-request-id"];
  return typeof header === "string" && wellFormed.test(header) ? header : randomUUID();
}
