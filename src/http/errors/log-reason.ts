import { z } from "zod";
import type { PipelineError } from "../../base/errors.ts";

/** The API's own names of a form field and an input stay readable. */
const ownWords = new Set(['"file"', '"images"']);
const quotedText = /"(?:[^"\\]|\\.)*"/g;

/**
 * Why a request was refused, for the log: without any text of the client, which may be the name of a file that somebody
 * uploaded (in a form field, a key of the JSON, the address). The answer has that text; the log has the request's id.
 * Undefined where the line of the access log says it all.
 */
export function loggedReason(error: PipelineError): string | undefined {
  if (error.code === "ROUTE_NOT_FOUND" || error.code === "METHOD_NOT_ALLOWED") return undefined;
  const { cause } = error;
  if (cause instanceof z.ZodError) return `the request does not fit: ${kinds(cause.issues.map(({ code }) => code))}`;
  if (isValidationFailure(cause)) {
    const { validation, validationContext = "request" } = cause;
    return `the ${validationContext} does not fit: ${kinds(validation.map(({ keyword }) => keyword))}`;
  }
  // The framework's own messages may quote the address or the body in ways of their own; its codes say as much.
  const code = frameworkCode(cause);
  if (code !== undefined && error.message.startsWith("request refused")) return `request refused: ${code}`;
  return error.message.replace(quotedText, (text) => (ownWords.has(text) ? text : '"[redacted]"'));
}

interface ValidationFailure {
  readonly validation: readonly { readonly keyword: string }[];
  readonly validationContext?: string;
}

function isValidationFailure(cause: unknown): cause is ValidationFailure {
  return cause instanceof Error && "validation" in cause && Array.isArray(cause.validation);
}

function frameworkCode(cause: unknown): string | undefined {
  if (!(cause instanceof Error)) return undefined;
  return "code" in cause && typeof cause.code === "string" ? cause.code : cause.name;
}

const kinds = (all: readonly string[]): string => [...new Set(all)].join(", ");
