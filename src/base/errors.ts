import type { ErrorCode } from "./error-codes.ts";

export interface PipelineErrorOptions {
  /** What the reader can do about it, as an imperative sentence. */
  readonly remedy?: string;
  /** The offending values, for logs and machine-readable output. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/** The only error class that the pipeline throws on purpose: a stable code, the offending values and a remedy. */
export class PipelineError extends Error {
  readonly code: ErrorCode;
  readonly remedy: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: PipelineErrorOptions = {}) {
    super(
      options.remedy === undefined ? message : `${message}; ${options.remedy}`,
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.name = "PipelineError";
    this.code = code;
    this.remedy = options.remedy;
    this.details = options.details ?? {};
  }
}

export function isPipelineError(error: unknown, code?: ErrorCode): error is PipelineError {
  return error instanceof PipelineError && (code === undefined || error.code === code);
}

/** What went wrong first, where closing what was open has failed as well. */
export function firstFailure(error: unknown): unknown {
  let first = error;
  while (first instanceof Error && "suppressed" in first) first = first.suppressed;
  return first;
}
