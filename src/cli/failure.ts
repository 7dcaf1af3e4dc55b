import { CommanderError } from "commander";
import type { ErrorCode } from "../base/error-codes.ts";
import { statementOf, transferError } from "../base/error-transfer.ts";
import { firstFailure, isPipelineError, PipelineError } from "../base/errors.ts";
import { storageError } from "../base/storage-error.ts";
import { note, printJson, type Terminal } from "./display/terminal.ts";
import { asTyped } from "./invocation.ts";

/** How commands end, also documented in `cifar --help`. */
export const exitCodes = { ok: 0, failed: 1, usage: 2, interrupted: 130 } as const;

const usageErrors: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "CONFIG_INVALID",
  "CONFIG_UNREADABLE",
  "CONFIG_UNSUPPORTED",
  "RESTORE_REFUSED",
  "RESUME_REFUSED",
  "RUN_NOT_FOUND",
  "STUDY_BUSY",
  "STUDY_NOT_FOUND",
  "USAGE_INVALID",
]);

export function exitCodeOf(error: unknown): number {
  return isPipelineError(error) && usageErrors.has(error.code) ? exitCodes.usage : exitCodes.failed;
}

export interface ReportOptions {
  readonly json: boolean;
  readonly debug: boolean;
}

/** Tells a failure: message, remedy and code; the stack for --debug or where it is a bug. Returns the exit code. */
export function reportFailure(terminal: Terminal, thrown: unknown, { json, debug }: ReportOptions): number {
  const first = firstFailure(thrown);
  const error = storageError(first) ?? first;
  if (error instanceof CommanderError) {
    // Commander has written its message already; help and version are no failure.
    return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  }
  if (json) {
    const { stack, ...fields } = transferError(error);
    printJson(terminal, { type: "error", ...fields, ...(debug ? { stack } : {}) });
  }
  if (isPipelineError(error)) {
    note(terminal, asTyped(`error: ${statementOf(error)}`));
    if (error.remedy !== undefined) note(terminal, asTyped(`  what to do: ${error.remedy}`));
    note(terminal, `  code: ${error.code}`);
    if (debug) note(terminal, stackOf(error));
  } else {
    const message = error instanceof Error ? error.message : String(error);
    note(terminal, `error: ${message}`);
    note(terminal, `  code: INTERNAL_ERROR`);
    note(terminal, debug ? stackOf(error) : "  what to do: run again with --debug to see where it happened");
  }
  return exitCodeOf(error);
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? "" : `\ncaused by: ${stackOf(error.cause)}`;
  return `${error.stack ?? error.message}${cause}`;
}

export function usageError(message: string, remedy: string): PipelineError {
  return new PipelineError("USAGE_INVALID", message, { remedy });
}
