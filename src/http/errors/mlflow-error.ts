import type { ErrorCode } from "../../base/error-codes.ts";
import { isPipelineError } from "../../base/errors.ts";

export interface MlflowError {
  readonly status: number;
  readonly body: {
    readonly error_code: string;
    readonly message: string;
    readonly sqlstate?: string;
    readonly error_class?: string;
  };
}

/** What MLflow 3 derives from its codes; the codes that are not here have neither. */
const classes: Readonly<Record<string, readonly [sqlstate: string, errorClass: string]>> = {
  BAD_REQUEST: ["KAM00", "INVALID_PARAMETER_VALUE"],
  ENDPOINT_NOT_FOUND: ["KAM00", "RESOURCE_NOT_FOUND"],
  INTERNAL_ERROR: ["XXM00", "CLIENT_INTERNAL_ERROR"],
  INVALID_PARAMETER_VALUE: ["KAM00", "INVALID_PARAMETER_VALUE"],
  INVALID_STATE: ["XXM00", "CLIENT_INTERNAL_ERROR"],
  RESOURCE_ALREADY_EXISTS: ["KAM00", "RESOURCE_ALREADY_EXISTS"],
  RESOURCE_DOES_NOT_EXIST: ["KAM00", "RESOURCE_NOT_FOUND"],
};

/** MLflow's codes and statuses for our own. */
const codes: Partial<Record<ErrorCode, readonly [code: string, status: number]>> = {
  TRACKING_INVALID: ["INVALID_PARAMETER_VALUE", 400],
  REQUEST_INVALID: ["BAD_REQUEST", 400],
  TRACKING_EXISTS: ["RESOURCE_ALREADY_EXISTS", 400],
  TRACKING_NOT_FOUND: ["RESOURCE_DOES_NOT_EXIST", 404],
  ROUTE_NOT_FOUND: ["ENDPOINT_NOT_FOUND", 404],
  TRACKING_DENIED: ["UNAUTHENTICATED", 401],
  TRACKING_STATE: ["INVALID_STATE", 500],
  REQUEST_TIMEOUT: ["BAD_REQUEST", 408],
  REQUEST_HEADERS_TOO_LARGE: ["BAD_REQUEST", 431],
  REQUEST_TOO_LARGE: ["INVALID_PARAMETER_VALUE", 413],
};

const failure: MlflowError = {
  status: 500,
  body: bodyOf("INTERNAL_ERROR", "the server could not handle the request; its log has the details"),
};

/** An error as MLflow's clients know it. What went wrong inside stays inside. */
export function toMlflowError(error: unknown): MlflowError {
  if (isPipelineError(error)) {
    const known = codes[error.code];
    return known === undefined ? failure : { status: known[1], body: bodyOf(known[0], error.message) };
  }
  const { statusCode = 500, message = "" } = error as { readonly statusCode?: number; readonly message?: string };
  if (statusCode >= 400 && statusCode < 500) return { status: statusCode, body: bodyOf("BAD_REQUEST", message) };
  return failure;
}

function bodyOf(error_code: string, message: string): MlflowError["body"] {
  const [sqlstate, error_class] = classes[error_code] ?? [];
  return sqlstate === undefined || error_class === undefined
    ? { error_code, message }
    : { error_code, message, sqlstate, error_class };
}
