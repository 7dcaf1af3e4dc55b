import type { ErrorCode } from "../../base/error-codes.ts";
import { isPipelineError } from "../../base/errors.ts";

export interface MlflowError {
  readonly status: number;
  readonly body: { readonly error_code: string; readonly message: string };
}

/** MLflow's codes and statuses for our own. */
const codes: Partial<Record<ErrorCode, readonly [code: string, status: number]>> = {
  TRACKING_INVALID: ["INVALID_PARAMETER_VALUE", 400],
  REQUEST_INVALID: ["BAD_REQUEST", 400],
  TRACKING_EXISTS: ["RESOURCE_ALREADY_EXISTS", 400],
  TRACKING_NOT_FOUND: ["RESOURCE_DOES_NOT_EXIST", 404],
  ROUTE_NOT_FOUND: ["ENDPOINT_NOT_FOUND", 404],
  TRACKING_DENIED: ["UNAUTHENTICATED", 401],
  TRACKING_STATE: ["INVALID_STATE", 500],
  REQUEST_TOO_LARGE: ["INVALID_PARAMETER_VALUE", 413],
};

const hidden = "the server could not handle the request; its log has the details";

/** An error as MLflow's clients know it. What went wrong inside stays inside. */
export function toMlflowError(error: unknown): MlflowError {
  if (isPipelineError(error)) {
    const known = codes[error.code];
    if (known !== undefined) return { status: known[1], body: { error_code: known[0], message: error.message } };
    return { status: 500, body: { error_code: "INTERNAL_ERROR", message: hidden } };
  }
  const { statusCode = 500, message = "" } = error as { readonly statusCode?: number; readonly message?: string };
  if (statusCode >= 400 && statusCode < 500)
    return { status: statusCode, body: { error_code: "BAD_REQUEST", message } };
  return { status: 500, body: { error_code: "INTERNAL_ERROR", message: hidden } };
}
