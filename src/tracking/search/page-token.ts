import { invalid } from "../validation.ts";

/** MLflow's tokens: base64 of {"offset": N}. */
export function encodePageToken(offset: number): string {
  return Buffer.from(JSON.stringify({ offset })).toString("base64");
}

/** @throws TRACKING_INVALID for what is no token */
export function decodePageToken(token: string | undefined): number {
  if (token === undefined || token === "") return 0;
  try {
    const { offset } = JSON.parse(Buffer.from(token, "base64").toString()) as { offset?: unknown };
    if (typeof offset === "number" && Number.isSafeInteger(offset) && offset > 0) return offset;
  } catch {
    // Reported below: a token that is no JSON is as wrong as one with another content.
  }
  throw invalid(
    `Invalid page token ${JSON.stringify(token.slice(0, 80))}`,
    "use the token of the page before as it is",
  );
}
