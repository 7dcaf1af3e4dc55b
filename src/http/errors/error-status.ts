import type { ErrorCode } from "../../base/error-codes.ts";

/** HTTP status of each error that can reach a client; every other code is a fault of ours and shows as INTERNAL_ERROR. */
export const errorStatus = {
  ALERTING_UNAVAILABLE: 503,
  ALERT_CHANGE_FAILED: 503,
  DEADLINE_EXCEEDED: 503,
  FORBIDDEN: 403,
  HOST_NOT_ALLOWED: 421,
  IMAGE_CORRUPT: 400,
  IMAGE_EMPTY: 400,
  IMAGE_TOO_LARGE: 413,
  IMAGE_UNSUPPORTED: 415,
  INFERENCE_FAILED: 503,
  INFERENCE_UNAVAILABLE: 503,
  INTERNAL_ERROR: 500,
  METHOD_NOT_ALLOWED: 405,
  MODEL_IN_USE: 409,
  MODEL_NOT_FOUND: 404,
  MODEL_REFUSED: 422,
  NOT_CONFIGURED: 501,
  ORIGIN_NOT_ALLOWED: 403,
  OUTPUT_NOT_FINITE: 500,
  PREDICTION_NOT_FOUND: 404,
  QUEUE_FULL: 503,
  RATE_LIMITED: 429,
  REQUEST_HEADERS_TOO_LARGE: 431,
  REQUEST_INVALID: 400,
  REQUEST_TIMEOUT: 408,
  REQUEST_TOO_LARGE: 413,
  ROUTE_NOT_FOUND: 404,
  SHUTTING_DOWN: 503,
  UNAUTHENTICATED: 401,
  UNSUPPORTED_MEDIA_TYPE: 415,
} as const satisfies Partial<Record<ErrorCode, number>>;

export type ClientErrorCode = keyof typeof errorStatus;

export function isClientErrorCode(code: ErrorCode): code is ClientErrorCode {
  return Object.hasOwn(errorStatus, code);
}
