import { type ErrorCode, errorCodes } from "./error-codes.ts";
import { isPipelineError, PipelineError } from "./errors.ts";
import { storageError } from "./storage-error.ts";

/** An error in a form that can pass between threads and into JSON. */
export interface TransferredError {
  readonly code: ErrorCode;
  /** Without the remedy. */
  readonly message: string;
  readonly remedy: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;
  readonly stack: string | undefined;
}

export function transferError(thrown: unknown): TransferredError {
  const error = storageError(thrown) ?? thrown;
  if (!isPipelineError(error)) {
    const message = error instanceof Error ? error.message || error.name : String(error);
    const stack = error instanceof Error ? error.stack : undefined;
    return { code: "INTERNAL_ERROR", message, remedy: undefined, details: {}, stack };
  }
  return {
    code: error.code,
    message: statementOf(error),
    remedy: error.remedy,
    details: plain(error.details),
    stack: error.stack,
  };
}

export function restoreError({ code, message, remedy, details, stack }: TransferredError): PipelineError {
  const known: ErrorCode = Object.hasOwn(errorCodes, code) ? code : "INTERNAL_ERROR";
  const error = new PipelineError(known, message, { details, ...(remedy === undefined ? {} : { remedy }) });
  // Where it happened, not where it was put together again.
  if (stack !== undefined) error.stack = stack;
  return error;
}

/** What is wrong, without what to do about it. */
export function statementOf({ message, remedy }: PipelineError): string {
  const ending = `; ${remedy}`;
  return remedy !== undefined && message.endsWith(ending) ? message.slice(0, -ending.length) : message;
}

function plain(details: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return JSON.parse(JSON.stringify(details, (_, value: unknown) => (typeof value === "bigint" ? `${value}` : value)));
}
